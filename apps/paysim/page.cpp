#include "paysim/page.hpp"

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --back: #fbfbf9; --raised: #fff; --ink: #1c2326; --soft: #56636a;
  --line: #d9dedb; --accent: #0b6b5b; --bad: #a3261b; }
@media (prefers-color-scheme: dark) { :root { --back: #14191b; --raised: #1b2225; --ink: #e6ebe9;
  --soft: #9fadb1; --line: #323c40; --accent: #5cc9b4; --bad: #ff9387; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; color: var(--soft); max-width: 70ch; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; padding: 0; list-style: none; }
.figures li { background: var(--raised); border: 1px solid var(--line); border-radius: 6px;
  padding: .5rem 1rem; min-width: 8rem; }
.figures b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, textarea { font: .85rem/1.45 ui-monospace, monospace; }
textarea { display: block; width: 100%; min-height: 9rem; padding: .5rem; background: var(--raised);
  color: var(--ink); border: 1px solid var(--soft); border-radius: 4px; }
button { font: inherit; padding: .35rem .9rem; margin: .25rem .25rem .25rem 0; border-radius: 4px; cursor: pointer;
  border: 1px solid var(--accent); background: none; color: var(--accent); }
button.go { background: var(--accent); color: var(--back); }
.bad { color: var(--bad); }
)css";

constexpr std::string_view kBody = R"html(
<header>
  <h1>paysim</h1>
  <p>A payment provider to develop against and to break. No money moves here.</p>
</header>
<main>
  <ul class="figures" id="figures" aria-label="Totals"></ul>
  <h2 id="behaviour-title">Behaviour in force</h2>
  <p>A button replaces the rules; the text can be edited and sent too.</p>
  <div id="presets" role="group" aria-labelledby="behaviour-title"></div>
  <label for="behaviour">Rules</label>
  <textarea id="behaviour" spellcheck="false"></textarea>
  <button class="go" id="apply">Put these rules in force</button>
  <span id="said" role="status"></span>
  <h2>Payments</h2>
  <div class="scroll"><table><thead><tr><th>Payment</th><th>Order</th><th>Status</th>
    <th class="number">Amount</th><th class="number">Captured</th><th class="number">Refunded</th><th>Card</th>
    <th>Made</th></tr></thead><tbody id="payments"></tbody></table></div>
  <h2>Webhooks</h2>
  <p id="endpoint"></p>
  <div class="scroll"><table><thead><tr><th>Event</th><th>Type</th><th>Payment</th><th>State</th>
    <th class="number">Attempts</th><th>Answer</th></tr></thead><tbody id="webhooks"></tbody></table></div>
</main>
)html";

constexpr std::string_view kScript = R"js(
'use strict';
const presets = {
  'Behave': {rules: []},
  'Decline half': {rules: [{action: 'decline', rate: 0.5, declineCode: 'insufficient_funds'}]},
  'Delay 2 s': {rules: [{action: 'delay', ms: 2000}]},
  'Hang': {rules: [{action: 'hang'}]},
  'Drop before': {rules: [{action: 'drop_before'}]},
  'Drop after charging': {rules: [{action: 'drop_after', operation: 'authorize'}]},
  'Answer 500': {rules: [{action: 'error', status: 500}]},
  'Answer 429': {rules: [{action: 'error', status: 429, retryAfter: 2}]},
  'Flap 5 s / 5 s': {rules: [{action: 'flap', upMs: 5000, downMs: 5000, status: 503}]},
  'Settle later': {rules: [{action: 'async', ms: 3000}]},
  'Webhooks twice, out of order': {rules: [], webhooks: {duplicates: 1, reorder: 0.5, reorderMs: 2000}},
  'No webhooks': {rules: [], webhooks: {drop: 1}},
};
const at = (id) => document.getElementById(id);
const element = (name, text, kind) => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};
const money = (minor, currency) => (minor / 100).toFixed(2) + (currency ? ' ' + currency.toUpperCase() : '');
const row = (cells, numbers) => {
  const made = document.createElement('tr');
  cells.forEach((cell, i) => made.append(element('td', cell, numbers.includes(i) ? 'number' : '')));
  return made;
};
const rate = (requests) => {
  const now = Math.floor(Date.now() / 1000);
  const last = requests.seconds.find((s) => s.at === now - 1);
  return last ? last.total : 0;
};
async function put(orders) {
  const answer = await fetch('/paysim/behaviour', {method: 'PUT',
    headers: {'Content-Type': 'application/json'}, body: orders});
  const body = await answer.json();
  at('said').textContent = answer.ok ? 'In force.' : body.error.message;
  at('said').className = answer.ok ? '' : 'bad';
  if (answer.ok) at('behaviour').value = JSON.stringify(body, null, 2);
}
let shown = '';
async function refresh() {
  const summary = await (await fetch('/paysim/summary')).json();
  const totals = summary.totals;
  at('figures').replaceChildren(...[['Payments', totals.intents], ['Authorized', money(totals.authorized)],
    ['Captured', money(totals.captured)], ['Refunded', money(totals.refunded)],
    ['Calls', summary.requests.total], ['Calls last second', rate(summary.requests)],
    ['Replays', summary.requests.replays], ['Webhooks sent', summary.deliveries.delivered],
    ['waiting', summary.deliveries.pending]].map(([name, value]) => {
      const item = element('li', '');
      item.append(element('b', String(value)), element('span', name));
      return item;
    }));
  at('payments').replaceChildren(...summary.intents.map((i) => row([i.id, i.orderId, i.status,
    money(i.amount, i.currency), money(i.captured), money(i.refunded), i.paymentMethod,
    new Date(i.createdAt).toLocaleTimeString()], [3, 4, 5])));
  at('endpoint').textContent = summary.webhookUrl ? 'Sent to ' + summary.webhookUrl : 'No endpoint is set.';
  at('webhooks').replaceChildren(...summary.webhooks.map((w) =>
    row([w.eventId, w.type, w.intentId, w.state, String(w.attempts), w.outcome], [4])));
  const rules = JSON.stringify(summary.behaviour, null, 2);
  if (rules !== shown && document.activeElement !== at('behaviour')) at('behaviour').value = rules;
  shown = rules;
}
for (const [name, orders] of Object.entries(presets)) {
  const button = element('button', name);
  button.addEventListener('click', () => put(JSON.stringify(orders)));
  at('presets').append(button);
}
at('apply').addEventListener('click', () => put(at('behaviour').value));
const again = () => refresh().catch(() => {}).finally(() => setTimeout(again, 1000));
again();
)js";

std::string source_hash(std::string_view text) { return "'sha256-" + encode_base64(sha256(text)) + "'"; }

}  // namespace

http::Response page() {
  std::string html =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>paysim</title>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>";
  html.append(kStyle).append("</style></head><body>").append(kBody).append("<script>");
  html.append(kScript).append("</script></body></html>");
  http::Response response = http::Response::html(200, std::move(html));
  response.set("Content-Security-Policy", "default-src 'none'; script-src " + source_hash(kScript) +
                                              "; style-src " + source_hash(kStyle) +
                                              "; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                                              "frame-ancestors 'none'");
  response.set("Cache-Control", "no-cache");
  return response;
}

}  // namespace holdfast::paysim
