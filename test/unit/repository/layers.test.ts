import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

// The picture of the layers in ARCHITECTURE.md is computed from the imports, type imports included. biome.json states
// the allowed imports of each folder; this test shows that together they form layers.

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PACKAGES = join(ROOT, 'packages');
const CLIENT = join(PACKAGES, 'client', 'src');

/** The units (packages, or folders and files of the client) that each unit imports. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>;

function sourcesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/^(?:import|export)\s[^;]*?from '([^']+)';|\bimport\('([^']+)'\)/gm)].map(
    ([, statement, expression]) => statement ?? expression ?? '',
  );
}

function graphOf(edges: Iterable<readonly [from: string, to: string]>): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [from, to] of edges) {
    const targets = graph.get(from) ?? new Set();
    graph.set(from, targets);
    if (!graph.has(to)) graph.set(to, new Set());
    if (from !== to) targets.add(to);
  }
  return graph;
}

function clientGraph(): Graph {
  const unitOf = (file: string): string => relative(CLIENT, file).split(sep)[0] ?? '';
  return graphOf(
    sourcesBelow(CLIENT).flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith('.'))
        .map(
          (specifier) =>
            [unitOf(file), unitOf(resolve(dirname(file), specifier.replace(/\.js$/, '.ts')))] as const,
        ),
    ),
  );
}

function packageGraph(): Graph {
  const edges = readdirSync(PACKAGES).flatMap((name) =>
    sourcesBelow(join(PACKAGES, name, 'src')).flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const [, to] = /^@ipyparallel-js\/([^/]+)/.exec(specifier) ?? [];
        return to === undefined ? [] : [[name, to] as const];
      }),
    ),
  );
  return graphOf(edges);
}

/** The layer of a unit is one above the highest unit that it imports. @throws {Error} when units import each other */
function layersOf(graph: Graph): string[][] {
  const levels = new Map<string, number>();
  const levelOf = (unit: string, path: readonly string[]): number => {
    if (path.includes(unit)) throw new Error(`import cycle: ${[...path, unit].join(' → ')}`);
    const known = levels.get(unit);
    if (known !== undefined) return known;
    const below = [...(graph.get(unit) ?? [])].map((to) => levelOf(to, [...path, unit]));
    const level = Math.max(0, ...below) + 1;
    levels.set(unit, level);
    return level;
  };
  const layers: string[][] = [];
  for (const unit of [...graph.keys()].sort()) {
    const level = levelOf(unit, []);
    layers[level - 1] = [...(layers[level - 1] ?? []), unit];
  }
  return layers;
}

function draw(title: string, layers: readonly (readonly string[])[]): string {
  const lines = layers.map((units, i) => `  ${i + 1}  ${units.join('  ')}`);
  return [title, ...lines.reverse()].join('\n');
}

function documentedPicture(): string {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const [, picture] = /<!-- layers -->\n+```text\n([\s\S]*?)\n```\n+<!-- \/layers -->/.exec(text) ?? [];
  return picture ?? '';
}

it('packages and the folders of the client form the layers that ARCHITECTURE.md shows', () => {
  const picture = [
    draw('packages', layersOf(packageGraph())),
    draw('packages/client/src', layersOf(clientGraph())),
  ].join('\n\n');
  console.info(picture);
  expect(documentedPicture()).toBe(picture);
});

it('the layer check rejects an import of a higher layer', () => {
  const upward = graphOf([
    ['hub', 'connection'],
    ['engines', 'hub'],
    ['connection', 'engines'],
  ]);
  expect(() => layersOf(upward)).toThrow('import cycle: connection → engines → hub → connection');
});
