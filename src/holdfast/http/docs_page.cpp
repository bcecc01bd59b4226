#include "holdfast/http/docs_page.hpp"

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"

namespace holdfast::http {
namespace {

constexpr std::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --back: #fbfbf9; --raised: #ffffff; --ink: #1c2326; --soft: #56636a; --line: #d9dedb;
  --accent: #0b6b5b; --bad: #a3261b; --code: #f0f3f1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14191b; --raised: #1b2225; --ink: #e6ebe9; --soft: #9fadb1; --line: #323c40;
    --accent: #5cc9b4; --bad: #ff9387; --code: #232c2f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
a { color: var(--accent); }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 1rem; background: var(--raised); padding: .5rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
header { padding: 1.5rem 1.5rem 1rem; border-bottom: 1px solid var(--line); }
header h1 { margin: 0; font-size: 1.5rem; }
header p { margin: .25rem 0 0; color: var(--soft); max-width: 70ch; }
.settings { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1rem; }
.settings label { flex: 1 1 16rem; }
.layout { display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { padding: 1rem 1.5rem; border-right: 1px solid var(--line); }
nav ul { list-style: none; padding: 0; margin: .25rem 0 1rem; }
nav li { margin: .25rem 0; font-size: .9rem; }
nav h2, main h2 { font-size: 1rem; margin: 1rem 0 .25rem; text-transform: capitalize; }
main { padding: 1rem 1.5rem 4rem; max-width: 64rem; }
@media (max-width: 50rem) { .layout { display: block; } nav { border-right: 0; } }
details.operation { background: var(--raised); border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
details.operation > summary { cursor: pointer; padding: .6rem .8rem; display: flex; flex-wrap: wrap; gap: .75rem; }
details.operation > div { padding: 0 .8rem .8rem; border-top: 1px solid var(--line); }
.method { font: 600 .85rem ui-monospace, monospace; color: var(--accent); min-width: 4.5rem; padding-top: .15rem; }
.method.delete { color: var(--bad); }
.path { font: 1rem ui-monospace, monospace; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.scope { font-size: .8rem; border: 1px solid var(--line); border-radius: 4px; padding: 0 .4rem; color: var(--soft); }
h3 { font-size: .95rem; margin: 1rem 0 .35rem; }
label { display: block; font-size: .9rem; }
label .soft { font-size: .85rem; }
input, textarea, select, button { font: inherit; color: inherit; }
input, textarea, select {
  display: block; width: 100%; margin-top: .15rem; padding: .4rem .5rem;
  background: var(--back); border: 1px solid var(--soft); border-radius: 4px;
}
textarea, pre, code { font: .85rem/1.45 ui-monospace, monospace; }
textarea { min-height: 9rem; resize: vertical; }
textarea.short { min-height: 2.3rem; }
.fields { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
button { padding: .4rem 1rem; border-radius: 4px; border: 1px solid var(--accent); background: var(--accent); color: var(--back); cursor: pointer; }
button.plain { background: none; color: var(--accent); }
.actions { display: flex; gap: .5rem; margin-top: .75rem; }
pre { background: var(--code); padding: .6rem; border-radius: 4px; overflow: auto; max-height: 28rem; margin: .35rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.status { font-weight: 600; }
.status.bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
)css";

constexpr std::string_view kScript = R"js(
'use strict';
const $ = (id) => document.getElementById(id);
let api = null;

// Everything from the document goes in as text, never as markup.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === 'text') made.textContent = value;
    else if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  for (const child of children.flat()) if (child) made.append(child);
  return made;
}

function resolve(node) {
  let steps = 0;
  while (node && node.$ref && steps++ < 20) {
    node = node.$ref.slice(2).split('/').reduce((at, key) => at && at[key], api);
  }
  return node || {};
}

function example(given, depth = 0) {
  if (given.examples && given.examples.length) return given.examples[0];
  const schema = resolve(given);
  if (depth > 6) return null;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if ('default' in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return example(schema.anyOf[0], depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'object': {
      const out = {};
      for (const [name, property] of Object.entries(schema.properties || {})) {
        if ((schema.required || []).includes(name) || depth < 1) out[name] = example(property, depth + 1);
      }
      return out;
    }
    case 'array': return [example(schema.items || {}, depth + 1)];
    case 'integer': case 'number': return Math.max(schema.minimum ?? 1, Math.min(1, schema.maximum ?? 1));
    case 'boolean': return false;
    case 'string': return 'text'.padEnd(schema.minLength || 0, 't').slice(0, schema.maxLength ?? 255);
    default: return {};
  }
}

function typeText(given) {
  if (given.$ref) return given.$ref.split('/').pop();
  if (given.anyOf) return given.anyOf.map(typeText).join(' or ');
  if (given.enum) return given.enum.map((value) => JSON.stringify(value)).join(' | ');
  const types = [].concat(given.type || 'any JSON').join(' or ');
  return types.startsWith('array') ? types.replace('array', 'array of ' + typeText(given.items || {})) : given.format ? types + ' (' + given.format + ')' : types;
}

function limits(schema) {
  const words = [];
  const say = (key, text) => { if (schema[key] !== undefined) words.push(text + ' ' + JSON.stringify(schema[key])); };
  say('minLength', 'length from'); say('maxLength', 'length to');
  say('minimum', 'from'); say('maximum', 'to');
  say('minItems', 'items from'); say('maxItems', 'items to');
  say('pattern', 'matches'); say('default', 'default');
  return words.join(', ');
}

function schemaTable(given) {
  const schema = resolve(given);
  if (!schema.properties) return element('p', { text: typeText(given) });
  const rows = Object.entries(schema.properties).map(([name, property]) => element('tr', {},
    element('td', {}, element('code', { text: name }), (schema.required || []).includes(name) ? ' required' : ''),
    element('td', { text: typeText(property) }),
    element('td', { class: 'soft', text: [property.description, limits(property)].filter(Boolean).join(' ') })));
  return element('table', {}, element('thead', {}, element('tr', {},
    ...['Field', 'Type', 'About'].map((text) => element('th', { scope: 'col', text })))), element('tbody', {}, rows));
}

function nestedSchemas(given, seen = new Set()) {
  const found = [];
  const visit = (node) => {
    if (!node || typeof node !== 'object') return;
    if (node.$ref && !seen.has(node.$ref)) {
      seen.add(node.$ref);
      found.push(node);
      visit(resolve(node));
    }
    for (const value of Object.values(node)) visit(value);
  };
  visit(given);
  return found.map((node) => element('details', {}, element('summary', { text: node.$ref.split('/').pop() }), schemaTable(node)));
}

function field(parameter, id) {
  const schema = resolve(parameter.schema || {});
  const attributes = { id, name: parameter.name, 'data-in': parameter.in, required: parameter.required, autocomplete: 'off' };
  let input;
  if (schema.enum) {
    input = element('select', attributes, element('option', { value: '', text: '' }),
      schema.enum.filter((value) => value !== null).map((value) => element('option', { value, text: value })));
  } else {
    input = element('input', { ...attributes, type: 'text', placeholder: schema.default ?? (schema.examples || [''])[0] });
  }
  if (parameter.name === 'Idempotency-Key') input.value = 'try-' + Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join('');
  return element('label', { for: id }, element('code', { text: parameter.name }),
    element('span', { class: 'soft', text: ' ' + parameter.in + (parameter.required ? ', required' : '') }), input,
    element('span', { class: 'soft', text: [parameter.description, limits(schema)].filter(Boolean).join(' ') }));
}

function buildRequest(method, path, form) {
  let url = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll('[data-in]')) {
    const value = input.value;
    if (value === '') continue;
    if (input.dataset.in === 'path') url = url.replace('{' + input.name + '}', encodeURIComponent(value));
    if (input.dataset.in === 'query') query.append(input.name, value);
    if (input.dataset.in === 'header') headers[input.name] = value;
  }
  if ([...query].length) url += '?' + query;
  const key = $('api-key').value.trim();
  if (key) headers.Authorization = 'Bearer ' + key;
  for (const line of $('extra-headers').value.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  const area = form.querySelector('textarea');
  if (area) headers['Content-Type'] = 'application/json';
  return { url, options: { method: method.toUpperCase(), headers, body: area ? area.value : undefined } };
}

function curl({ url, options }) {
  const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const parts = ['curl -i -X ' + options.method, quote(location.origin + url)];
  for (const [name, value] of Object.entries(options.headers)) parts.push('-H ' + quote(name + ': ' + value));
  if (options.body) parts.push('--data ' + quote(options.body));
  return parts.join(' \\\n  ');
}

async function send(request, out) {
  out.replaceChildren(element('p', { text: 'Sending…' }));
  const started = performance.now();
  try {
    const response = await fetch(request.url, request.options);
    let body = await response.text();
    try { body = JSON.stringify(JSON.parse(body), null, 2); } catch { /* not JSON: shown as it is */ }
    const took = Math.round(performance.now() - started);
    out.replaceChildren(
      element('p', { class: 'status' + (response.ok ? '' : ' bad'), text: response.status + ' ' + response.statusText + ' in ' + took + ' ms' }),
      element('pre', { tabindex: 0, 'aria-label': 'Response headers', text: [...response.headers].map((header) => header.join(': ')).join('\n') }),
      element('pre', { tabindex: 0, 'aria-label': 'Response body', text: body || '(no body)' }));
  } catch (failure) {
    out.replaceChildren(element('p', { class: 'status bad', text: 'No answer: ' + failure.message }));
  }
}

function tryIt(method, path, operation, id) {
  const form = element('form', {});
  const parameters = operation.parameters || [];
  if (parameters.length) form.append(element('h3', { text: 'Parameters' }), element('div', { class: 'fields' }, parameters.map((parameter, i) => field(parameter, id + '-' + i))));
  const content = operation.requestBody && operation.requestBody.content['application/json'];
  if (content) {
    const area = element('textarea', { id: id + '-body', spellcheck: 'false' });
    area.value = JSON.stringify(example(content.schema), null, 2);
    form.append(element('h3', { text: 'Body' }), element('label', { for: id + '-body', text: 'application/json' }), area, schemaTable(content.schema), ...nestedSchemas(content.schema).slice(1));
  }
  const out = element('div', { 'aria-live': 'polite' });
  const command = element('pre', { tabindex: 0, hidden: true, 'aria-label': 'curl command' });
  form.append(element('div', { class: 'actions' }, element('button', { type: 'submit', text: 'Send' }),
    element('button', { type: 'button', class: 'plain', text: 'Show curl', onclick: () => {
      command.textContent = curl(buildRequest(method, path, form));
      command.hidden = false;
    } })), command, out);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(buildRequest(method, path, form), out);
  });
  return form;
}

function responses(operation) {
  return Object.entries(operation.responses).map(([status, given]) => {
    const response = resolve(given);
    const content = Object.values(response.content || {})[0];
    const about = element('summary', { text: status + ' ' + response.description });
    if (!content) return element('p', { text: about.textContent });
    return element('details', {}, about, schemaTable(content.schema), ...nestedSchemas(content.schema).slice(1),
      element('pre', { tabindex: 0, 'aria-label': 'Example', text: JSON.stringify(example(content.schema), null, 2) }));
  });
}

function operationPanel(method, path, operation) {
  const id = operation.operationId || method + path.replace(/\W+/g, '-');
  const scopes = (operation.security || []).flatMap((entry) => Object.values(entry).flat());
  const panel = element('details', { class: 'operation', id },
    element('summary', {}, element('span', { class: 'method ' + method, text: method.toUpperCase() }),
      element('span', { class: 'path', text: path }), element('span', { class: 'soft', text: operation.summary || '' }),
      scopes.length ? element('span', { class: 'scope', text: 'scope: ' + scopes.join(', ') }) : null));
  panel.addEventListener('toggle', () => {  // built when first opened: a large API stays quick
    if (!panel.open || panel.dataset.built) return;
    panel.dataset.built = 'yes';
    panel.append(element('div', {}, operation.description ? element('p', { text: operation.description }) : null,
      tryIt(method, path, operation, id), element('h3', { text: 'Answers' }), responses(operation)));
  });
  return panel;
}

function openFromHash() {
  const panel = location.hash && $(decodeURIComponent(location.hash.slice(1)));
  if (!panel || panel.tagName !== 'DETAILS') return;
  panel.open = true;
  panel.querySelector('summary').focus();
}

function show() {
  document.title = api.info.title;
  $('title').textContent = api.info.title + ' ' + api.info.version;
  $('about').textContent = api.info.description || '';
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags || ['operations'])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationPanel(method, path, operation));
    }
  }
  for (const [tag, panels] of groups) {
    $('content').append(element('section', {}, element('h2', { text: tag }), panels));
    $('list').append(element('h2', { text: tag }), element('ul', {}, panels.map((panel) =>
      element('li', {}, element('a', { href: '#' + encodeURIComponent(panel.id), text: panel.id })))));
  }
  window.addEventListener('hashchange', openFromHash);
  openFromHash();
}

$('filter').addEventListener('input', (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const panel of document.querySelectorAll('details.operation')) {
    panel.hidden = !panel.querySelector('summary').textContent.toLowerCase().includes(wanted);
  }
});

fetch('/openapi.json').then((response) => response.json()).then((document) => { api = document; show(); })
  .catch((failure) => { $('about').textContent = 'The API\'s document could not be read: ' + failure.message; });
)js";

constexpr std::string_view kBody = R"html(
<a class="skip" href="#content">Skip to the operations</a>
<header>
  <h1 id="title">API</h1>
  <p id="about"></p>
  <p><a href="/openapi.json">openapi.json</a></p>
  <div class="settings">
    <label for="api-key">API key <span class="soft">kept in this page only</span>
      <input id="api-key" type="password" autocomplete="off"></label>
    <label for="extra-headers">More headers <span class="soft">one a line, Name: value</span>
      <textarea id="extra-headers" class="short" rows="1" spellcheck="false"></textarea></label>
    <label for="filter">Filter operations <input id="filter" type="search" autocomplete="off"></label>
  </div>
</header>
<div class="layout">
  <nav id="list" aria-label="Operations"></nav>
  <main id="content" tabindex="-1"></main>
</div>
)html";

/// What a Content-Security-Policy calls an inline script or style.
std::string source_hash(std::string_view text) { return "'sha256-" + encode_base64(sha256(text)) + "'"; }

}  // namespace

Response docs_page() {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>API</title>\n<style>";
  html.append(kStyle).append("</style>\n</head>\n<body>").append(kBody);
  html.append("<script>").append(kScript).append("</script>\n</body>\n</html>\n");
  Response response = Response::html(200, std::move(html));
  response.set("Content-Security-Policy", "default-src 'none'; script-src " + source_hash(kScript) +
                                              "; style-src " + source_hash(kStyle) +
                                              "; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                                              "frame-ancestors 'none'");
  response.set("X-Content-Type-Options", "nosniff").set("Referrer-Policy", "no-referrer");
  return response;
}

}  // namespace holdfast::http
