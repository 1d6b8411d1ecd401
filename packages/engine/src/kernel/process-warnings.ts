/** Does something once without the warning that Node prints about it: it would be no news for the user. */
export async function quietly<T>(act: () => T | Promise<T>): Promise<T> {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return await act();
  } finally {
    process.emitWarning = emitWarning;
  }
}
