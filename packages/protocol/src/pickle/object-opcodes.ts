import { construct } from './class-registry.js';
import type { OpcodeTable, PickleMachine } from './machine.js';
import { isCallee, PyDict, PyGlobal, PyInstance } from './nodes.js';
import { OP } from './opcodes.js';
import { COST } from './pickle-limits.js';
import { decodeUtf8 } from './text.js';

function pushGlobal(machine: PickleMachine, module: unknown, qualname: unknown): void {
  if (typeof module !== 'string' || typeof qualname !== 'string') {
    throw machine.reader.fail('the name of a class or function is not text');
  }
  machine.budget.spend(COST.global + 2 * (module.length + qualname.length));
  machine.push(new PyGlobal(module, qualname));
}

/** The names stand on two lines of their own. */
function globalByLines(machine: PickleMachine): void {
  const module = decodeUtf8(machine.reader.line());
  pushGlobal(machine, module, decodeUtf8(machine.reader.line()));
}

function globalFromStack(machine: PickleMachine): void {
  const [module, qualname] = machine.popMany(2);
  pushGlobal(machine, module, qualname);
}

/** Stands for the call; nothing is called. */
function pushCall(machine: PickleMachine, callee: unknown, args: unknown, kwargs: unknown): void {
  if (!isCallee(callee)) throw machine.reader.fail('a call of what is no class or function');
  if (!Array.isArray(args)) throw machine.reader.fail('the arguments of a call are not a tuple');
  machine.budget.spend(COST.container);
  const made = construct(callee, args, kwargs, machine.budget);
  // It has parts, and becomes an object with as many.
  if (made instanceof PyInstance) machine.budget.spend(COST.instance);
  machine.push(made);
}

function call(machine: PickleMachine): void {
  const [callee, args] = machine.popMany(2);
  pushCall(machine, callee, args, null);
}

function callWithKeywords(machine: PickleMachine): void {
  const [callee, args, kwargs] = machine.popMany(3);
  if (!(kwargs instanceof PyDict)) throw machine.reader.fail('the keyword arguments are not a dict');
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
  // Attributes of an OrderedDict and the like: a plain object or a Map has no place for them.
  else if (!(target instanceof PyDict)) throw machine.reader.fail('a state for what is no instance');
}

function refusePersistentId(machine: PickleMachine): void {
  throw machine.reader.fail('persistent ids are refused: what they name is not in the pickle');
}

function refuseExtension(machine: PickleMachine): void {
  throw machine.reader.fail('extension codes are refused: what they name is not in the pickle');
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
