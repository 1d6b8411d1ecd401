import { isDeepStrictEqual } from 'node:util';
import type { WatchEvent } from '@ipyparallel-js/client';

/** Follows a watch and finds what does not follow from what was told before. Keeps what matches now, and no events. */
export class WatchCheck<R extends { readonly msg_id: string }> {
  readonly known = new Map<string, R>();
  readonly faults: string[] = [];
  events = 0;

  readonly take = (event: WatchEvent<R>): void => {
    this.events++;
    if (event.type === 'snapshot') {
      if (this.events > 1) this.faults.push('a second snapshot');
      for (const record of event.records) this.known.set(record.msg_id, record);
      return;
    }
    const { record } = event;
    const before = this.known.get(record.msg_id);
    const told = `${event.type} ${record.msg_id}`;
    if (event.type === 'entered' ? before !== undefined : !isDeepStrictEqual(before, event.previous))
      this.#fault(`${told} does not follow from what was told before`);
    if (event.type === 'left') this.known.delete(record.msg_id);
    else this.known.set(record.msg_id, record);
  };

  #fault(text: string): void {
    if (this.faults.length < 5) this.faults.push(text);
  }
}
