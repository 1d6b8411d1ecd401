import { construct } from './class-registry.js';
import type { OpcodeTable, PickleMachine } from './machine.js';
import { isCallee, PyDict, PyGlobal, PyInstance } from './nodes.js';
import { OP } from './opcodes.js';
import { MEMORY_COSTS } from './pickle-limits.js';
import { decodeUtf8 } from './text.js';

function pushGlobal(machine: PickleMachine, module: unknown, qualname: unknown): void {
  if (typeof module !== 'string' || typeof qualname !== 'string') {
    throw machine.reader.error('the name of a class or function must be text');
  }
  machine.budget.spend(MEMORY_COSTS.global + 2 * (module.length + qualname.length));
  machine.push(new PyGlobal(module, qualname));
}

/** Reads the module and the name, each from its own line. */
function globalByLines(machine: PickleMachine): void {
  const module = decodeUtf8(machine.reader.line());
  pushGlobal(machine, module, decodeUtf8(machine.reader.line()));
}

function globalFromStack(machine: PickleMachine): void {
  const [module, qualname] = machine.popMany(2);
  pushGlobal(machine, module, qualname);
}

/** Records the call without calling anything. */
function pushCall(machine: PickleMachine, callee: unknown, args: unknown, kwargs: unknown): void {
  if (!isCallee(callee)) throw machine.reader.error('only a class or function can be called');
  if (!Array.isArray(args)) throw machine.reader.error('the arguments of a call must be a tuple');
  machine.budget.spend(MEMORY_COSTS.container);
  const made = construct(callee, args, kwargs, machine.budget);
  // The instance is resolved later to an object with the same parts.
  if (made instanceof PyInstance) machine.budget.spend(MEMORY_COSTS.instance);
  machine.push(made);
}

function call(machine: PickleMachine): void {
  const [callee, args] = machine.popMany(2);
  pushCall(machine, callee, args, null);
}

function callWithKeywords(machine: PickleMachine): void {
  const [callee, args, kwargs] = machine.popMany(3);
  if (!(kwargs instanceof PyDict)) throw machine.reader.error('keyword arguments must be a dict');
  pushCall(machine, callee, args, kwargs.keys.length === 0 ? null : kwargs);
}

function callAboveMark(machine: PickleMachine): void {
  const [callee, ...args] = machine.popToMark();
  pushCall(machine, callee, args, null);
}

function callByLines(machine: PickleMachine): void {
  globalByLines(machine);
  const callee = machine.pop();
  pushCall(machine, callee, machine.popToMark(), null);
}

function setState(machine: PickleMachine): void {
  const state = machine.pop();
  const target = machine.peek();
  if (target instanceof PyInstance) target.state = state;
  // Attributes of an OrderedDict and the like are dropped: a plain object or a Map cannot hold them.
  else if (!(target instanceof PyDict)) throw machine.reader.error('a state can be set only on an instance');
}

function refusePersistentId(machine: PickleMachine): void {
  throw machine.reader.error(
    'persistent ids are not supported, because they name objects outside the pickle',
  );
}

function refuseExtension(machine: PickleMachine): void {
  throw machine.reader.error(
    'extension codes are not supported, because they name objects outside the pickle',
  );
}

export const objectOpcodes: OpcodeTable = {
  [OP.GLOBAL]: globalByLines,
  [OP.STACK_GLOBAL]: globalFromStack,
  [OP.REDUCE]: call,
  [OP.NEWOBJ]: call,
  [OP.NEWOBJ_EX]: callWithKeywords,
  [OP.OBJ]: callAboveMark,
  [OP.INST]: callByLines,
  [OP.BUILD]: setState,
  [OP.PERSID]: refusePersistentId,
  [OP.BINPERSID]: refusePersistentId,
  [OP.EXT1]: refuseExtension,
  [OP.EXT2]: refuseExtension,
  [OP.EXT4]: refuseExtension,
};
