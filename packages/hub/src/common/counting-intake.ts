import type { Session } from '@ipyparallel-js/protocol';
import { Intake, type RefusalCounter } from '@ipyparallel-js/wire';

/** An intake that counts each dropped message as a refusal: `<prefix> <channel>: <reason>`. */
export function countingIntake(session: Session, refusals: RefusalCounter, prefix = 'a'): Intake {
  return new Intake(session, (_reason, channel, error) =>
    refusals.count(`${prefix} ${channel}: ${error.message}`),
  );
}
