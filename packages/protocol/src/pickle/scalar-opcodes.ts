import type { OpcodeTable, PickleMachine } from './machine.js';
import { decodeLong, parseFloatText, parseInteger } from './numbers.js';
import { OP } from './opcodes.js';
import { MEMORY_COSTS } from './pickle-limits.js';
import {
  decodeByteString,
  decodeLatin1,
  decodeRawUnicodeEscape,
  decodeStringLiteral,
  decodeUtf8,
} from './text.js';

const HIGHEST_PROTOCOL = 5;

function pushText(machine: PickleMachine, length: number): void {
  const bytes = machine.reader.bytes(length);
  machine.budget.spend(MEMORY_COSTS.text + 2 * length);
  machine.push(decodeUtf8(bytes));
}

/** Copies the bytes, because the value may outlive the message frame. */
function pushBytes(machine: PickleMachine, length: number): void {
  const bytes = machine.reader.bytes(length);
  machine.budget.spend(MEMORY_COSTS.bytes + length);
  machine.push(new Uint8Array(bytes));
}

function pushByteString(machine: PickleMachine, length: number): void {
  const bytes = machine.reader.bytes(length);
  machine.budget.spend(MEMORY_COSTS.bytes + 2 * length);
  machine.push(decodeByteString(bytes));
}

function pushLong(machine: PickleMachine, length: number): void {
  machine.budget.checkInteger(length);
  machine.push(decodeLong(machine.reader.bytes(length), machine.budget));
}

function textLine(machine: PickleMachine): Uint8Array {
  const line = machine.reader.line();
  machine.budget.spend(MEMORY_COSTS.text + 2 * line.length);
  return line;
}

/** INT of protocol 0 also encodes the booleans, as `00` and `01`. */
function pushIntLine(machine: PickleMachine): void {
  const line = textLine(machine);
  const text = line.length === 2 ? decodeLatin1(line) : '';
  if (text === '00' || text === '01') machine.push(text === '01');
  else machine.push(parseInteger(line, machine.budget));
}

function checkProtocol(machine: PickleMachine): void {
  const protocol = machine.reader.uint8();
  if (protocol > HIGHEST_PROTOCOL) {
    throw machine.reader.error(`protocol ${protocol} is not supported; the highest is ${HIGHEST_PROTOCOL}`);
  }
}

export const scalarOpcodes: OpcodeTable = {
  [OP.PROTO]: checkProtocol,
  [OP.FRAME]: (m) => m.reader.checkFrame(m.reader.length64()),

  [OP.NONE]: (m) => m.push(null),
  [OP.NEWTRUE]: (m) => m.push(true),
  [OP.NEWFALSE]: (m) => m.push(false),

  [OP.INT]: pushIntLine,
  [OP.BININT]: (m) => m.push(m.reader.int32()),
  [OP.BININT1]: (m) => m.push(m.reader.uint8()),
  [OP.BININT2]: (m) => m.push(m.reader.uint16()),
  [OP.LONG]: (m) => m.push(parseInteger(textLine(m), m.budget)),
  [OP.LONG1]: (m) => pushLong(m, m.reader.uint8()),
  [OP.LONG4]: (m) => pushLong(m, m.reader.length32()),

  [OP.FLOAT]: (m) => m.push(parseFloatText(textLine(m))),
  [OP.BINFLOAT]: (m) => {
    m.budget.spend(MEMORY_COSTS.number);
    m.push(m.reader.float64());
  },

  [OP.STRING]: (m) => m.push(decodeStringLiteral(textLine(m))),
  [OP.BINSTRING]: (m) => pushByteString(m, m.reader.length32()),
  [OP.SHORT_BINSTRING]: (m) => pushByteString(m, m.reader.uint8()),

  [OP.UNICODE]: (m) => m.push(decodeRawUnicodeEscape(textLine(m))),
  [OP.SHORT_BINUNICODE]: (m) => pushText(m, m.reader.uint8()),
  [OP.BINUNICODE]: (m) => pushText(m, m.reader.uint32()),
  [OP.BINUNICODE8]: (m) => pushText(m, m.reader.length64()),

  [OP.SHORT_BINBYTES]: (m) => pushBytes(m, m.reader.uint8()),
  [OP.BINBYTES]: (m) => pushBytes(m, m.reader.uint32()),
  [OP.BINBYTES8]: (m) => pushBytes(m, m.reader.length64()),
  [OP.BYTEARRAY8]: (m) => pushBytes(m, m.reader.length64()),
  // The buffer is not copied, because only large data is sent out of band.
  [OP.NEXT_BUFFER]: (m) => {
    m.budget.spend(MEMORY_COSTS.bytes);
    const { buffer, byteOffset, byteLength } = m.nextBuffer();
    m.push(new Uint8Array(buffer, byteOffset, byteLength));
  },
  [OP.READONLY_BUFFER]: (m) => {
    if (!(m.peek() instanceof Uint8Array)) throw m.reader.error('READONLY_BUFFER must follow a buffer');
  },
};
