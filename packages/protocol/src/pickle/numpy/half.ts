const SIGN_BIT = 0x8000;
const EXPONENT_BITS = 10;
const FRACTION = 0x3ff;
const BIAS = 15;

/** The number with these `float16` bits. */
export function halfToNumber(bits: number): number {
  const sign = (bits & SIGN_BIT) === 0 ? 1 : -1;
  const exponent = (bits >> EXPONENT_BITS) & 0x1f;
  const fraction = bits & FRACTION;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - BIAS - EXPONENT_BITS);
  return sign * (fraction + FRACTION + 1) * 2 ** (exponent - BIAS - EXPONENT_BITS);
}

/** The bits of the nearest `float16`; ties round to even, as in numpy. */
export function numberToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? SIGN_BIT : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65_520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), 1 - BIAS);
  const step = 2 ** (exponent - EXPONENT_BITS);
  const scaled = roundHalfEven(magnitude / step);
  // A fraction that rounds up to the next power of two carries into the exponent.
  const normal = magnitude >= 2 ** (1 - BIAS);
  return sign | (normal ? ((exponent + BIAS - 1) << EXPONENT_BITS) + scaled : scaled);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
