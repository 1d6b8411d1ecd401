// Makes a task run until a test releases it, because no sleep is long enough on a slow machine.
//
//     using gate = new Gate();
//     const running = rc.directView(0).execute(gate.python);
//     …
//     gate.open();
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Gate {
  /** A file that exists while the gate is closed. */
  readonly path = join(tmpdir(), `ipp-gate-${randomUUID()}`);

  constructor() {
    writeFileSync(this.path, '');
  }

  /** Python statements that wait for it. */
  get python(): string {
    return `import os, time\nwhile os.path.exists(${JSON.stringify(this.path)}): time.sleep(0.01)\n`;
  }

  /** A Python function that waits for the gate and returns None. */
  get pythonFunction(): string {
    const wait = this.python.trimEnd().replaceAll('\n', '\n    ');
    return `def wait_for_gate():\n    ${wait}\n`;
  }

  /** JavaScript statements that wait for it. */
  get javascript(): string {
    return `while (require('node:fs').existsSync(${JSON.stringify(this.path)})) await new Promise((go) => setTimeout(go, 10));\n`;
  }

  open(): void {
    rmSync(this.path, { force: true });
  }

  [Symbol.dispose](): void {
    this.open();
  }
}
