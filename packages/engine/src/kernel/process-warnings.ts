/** Runs `action` without printing the process warnings that Node emits for it: they do not concern the user. */
export async function withoutProcessWarnings<T>(action: () => T | Promise<T>): Promise<T> {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return await action();
  } finally {
    process.emitWarning = emitWarning;
  }
}
