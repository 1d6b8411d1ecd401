import type { OpcodeTable, PickleMachine } from './machine.js';
import { PyDict, PyInstance, PySet } from './nodes.js';
import { parseInteger } from './numbers.js';
import { OP } from './opcodes.js';
import { MEMORY_COSTS } from './pickle-limits.js';

function pushArray(machine: PickleMachine, items: unknown[]): void {
  machine.budget.spend(MEMORY_COSTS.container + MEMORY_COSTS.element * items.length);
  machine.push(items);
}

function pushSet(machine: PickleMachine, items: unknown[]): void {
  machine.budget.spend(MEMORY_COSTS.container + MEMORY_COSTS.entry * items.length);
  machine.push(new PySet(items));
}

function fillDict(machine: PickleMachine, dict: PyDict, flat: readonly unknown[]): void {
  if (flat.length % 2 !== 0) throw machine.reader.error('a dict key has no value');
  machine.budget.spend((MEMORY_COSTS.entry * flat.length) / 2);
  dict.setAll(flat);
}

function pushDict(machine: PickleMachine, flat: readonly unknown[]): void {
  machine.budget.spend(MEMORY_COSTS.container);
  const dict = new PyDict();
  fillDict(machine, dict, flat);
  machine.push(dict);
}

function append(machine: PickleMachine, items: readonly unknown[]): void {
  const target = machine.peek();
  const list = target instanceof PyInstance ? target.items : target;
  if (!Array.isArray(list)) throw machine.reader.error('elements can be added only to a list');
  machine.budget.spend(MEMORY_COSTS.element * items.length);
  for (const item of items) list.push(item);
}

function addItems(machine: PickleMachine, items: readonly unknown[]): void {
  const target = machine.peek();
  if (!(target instanceof PySet || target instanceof PyInstance)) {
    throw machine.reader.error('elements can be added only to a set');
  }
  machine.budget.spend(MEMORY_COSTS.entry * items.length);
  for (const item of items) target.items.push(item);
}

function setItems(machine: PickleMachine, flat: readonly unknown[]): void {
  const target = machine.peek();
  const dict = target instanceof PyInstance ? target.entries : target;
  if (!(dict instanceof PyDict)) throw machine.reader.error('entries can be added only to a dict');
  fillDict(machine, dict, flat);
}

function memoIndex(machine: PickleMachine): number {
  const index = parseInteger(machine.reader.line(), machine.budget);
  if (typeof index !== 'number' || index < 0)
    throw machine.reader.error(`a memo index must be an integer >= 0, got ${index}`);
  return index;
}

export const containerOpcodes: OpcodeTable = {
  [OP.MARK]: (m) => m.mark(),
  [OP.POP]: (m) => m.popValueOrMark(),
  [OP.POP_MARK]: (m) => {
    m.popToMark();
  },
  [OP.DUP]: (m) => m.push(m.peek()),

  [OP.PUT]: (m) => m.memoize(memoIndex(m)),
  [OP.BINPUT]: (m) => m.memoize(m.reader.uint8()),
  [OP.LONG_BINPUT]: (m) => m.memoize(m.reader.uint32()),
  [OP.MEMOIZE]: (m) => m.memoizeNext(),
  [OP.GET]: (m) => m.pushFromMemo(memoIndex(m)),
  [OP.BINGET]: (m) => m.pushFromMemo(m.reader.uint8()),
  [OP.LONG_BINGET]: (m) => m.pushFromMemo(m.reader.uint32()),

  [OP.EMPTY_LIST]: (m) => pushArray(m, []),
  [OP.LIST]: (m) => pushArray(m, m.popToMark()),
  [OP.APPEND]: (m) => append(m, m.popMany(1)),
  [OP.APPENDS]: (m) => append(m, m.popToMark()),

  [OP.EMPTY_TUPLE]: (m) => pushArray(m, []),
  [OP.TUPLE]: (m) => pushArray(m, m.popToMark()),
  [OP.TUPLE1]: (m) => pushArray(m, m.popMany(1)),
  [OP.TUPLE2]: (m) => pushArray(m, m.popMany(2)),
  [OP.TUPLE3]: (m) => pushArray(m, m.popMany(3)),

  [OP.EMPTY_DICT]: (m) => pushDict(m, []),
  [OP.DICT]: (m) => pushDict(m, m.popToMark()),
  [OP.SETITEM]: (m) => setItems(m, m.popMany(2)),
  [OP.SETITEMS]: (m) => setItems(m, m.popToMark()),

  [OP.EMPTY_SET]: (m) => pushSet(m, []),
  [OP.FROZENSET]: (m) => pushSet(m, m.popToMark()),
  [OP.ADDITEMS]: (m) => addItems(m, m.popToMark()),
};
