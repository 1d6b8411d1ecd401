import { isDeepStrictEqual } from 'node:util';
import type { WatchEvent } from '@ipyparallel-js/client';

/** Checks that each event of a watch is consistent with the previous ones. Stores the matching records, not the events. */
export class WatchCheck<R extends { readonly msg_id: string }> {
  readonly known = new Map<string, R>();
  readonly faults: string[] = [];
  events = 0;

  readonly handleEvent = (event: WatchEvent<R>): void => {
    this.events++;
    if (event.type === 'snapshot') {
      if (this.events > 1) this.faults.push('the watch emitted a second snapshot');
      for (const record of event.records) this.known.set(record.msg_id, record);
      return;
    }
    const { record } = event;
    const before = this.known.get(record.msg_id);
    const description = `${event.type} ${record.msg_id}`;
    if (event.type === 'entered' ? before !== undefined : !isDeepStrictEqual(before, event.previous))
      this.#addFault(`${description} is inconsistent with previous events`);
    if (event.type === 'left') this.known.delete(record.msg_id);
    else this.known.set(record.msg_id, record);
  };

  #addFault(text: string): void {
    if (this.faults.length < 5) this.faults.push(text);
  }
}
