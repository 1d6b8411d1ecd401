const POSITION = /^(0|[1-9]\d{0,8})$/;

/** Whether a step of a path is the position of an item in a list. */
export function isPosition(step: string, list: readonly unknown[]): boolean {
  return POSITION.test(step) && Number(step) < list.length;
}
