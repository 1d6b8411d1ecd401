import { describe } from 'vitest';
import { engineIsKilled } from '../support/kills/kill-suite.js';
import { OurKillGround } from '../support/kills/our-kill-ground.js';

describe('on our controller, which keeps its records', () => {
  engineIsKilled(() => OurKillGround.start({ engines: 2, controllerArgs: ['--sqlitedb'] }));
});
