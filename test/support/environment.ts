/** Whether the environment variable CI is set; a test whose requirements are missing then fails instead of being skipped. */
export function isCI(): boolean {
  const value = process.env.CI;
  return value !== undefined && value !== '' && value !== 'false' && value !== '0';
}

/** The environment of this process without the variables that redirect Python or ipyparallel. */
export function cleanEnv(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(IPP_|JUPYTER_|IPYTHON|PYTHON|VIRTUAL_ENV$|CONDA_)/.test(name),
  );
  return {
    ...Object.fromEntries(entries),
    PYTHONUNBUFFERED: '1',
    PYTHONWARNINGS: 'ignore',
    ...extra,
  };
}
