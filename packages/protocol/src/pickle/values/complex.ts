/** A Python `complex`. */
export class Complex {
  readonly real: number;
  readonly imag: number;

  constructor(real: number, imag = 0) {
    this.real = real;
    this.imag = imag;
  }

  toString(): string {
    return `${this.real}${this.imag < 0 || Object.is(this.imag, -0) ? '-' : '+'}${Math.abs(this.imag)}j`;
  }
}
