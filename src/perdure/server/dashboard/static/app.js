// The page follows what happens: a stream says that something changed, the page is asked for again, and
// only what differs moves. Nothing is shown that the server did not write. Works without: then reload.
"use strict";

const main = document.getElementById("main");
const live = document.getElementById("live");
let busy = false;
let again = false;
let source = null;

const spans = [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"], [Infinity, 86400, "d"]];
function span(seconds) {
  const whole = Math.max(0, seconds);
  const [, unit, word] = spans.find(([below]) => whole < below);
  return `${Math.floor(whole / unit)} ${word}`;
}

function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    time.textContent = span((now - Date.parse(time.dateTime)) / 1000);
  }
  for (const time of document.querySelectorAll("time[data-until]")) {
    const left = (Date.parse(time.dateTime) - now) / 1000;
    time.textContent = left > 0 ? `in ${span(left)}` : "now";
  }
}

function say(state) {
  if (live) live.dataset.state = state;
}

function typing() {
  const field = document.activeElement;
  if (field && field.tagName === "TEXTAREA") return true;
  if ([...main.querySelectorAll("textarea")].some((area) => area.value)) return true;
  const chosen = document.getSelection();
  return Boolean(chosen && !chosen.isCollapsed && main.contains(chosen.anchorNode));
}

async function refresh() {
  if (busy || typing() || document.hidden) {
    again = true;
    return;
  }
  busy = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Fragment": "1" }, redirect: "error" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    say(answer.ok ? "on" : "off");
  } catch {
    say("off");
  } finally {
    busy = false;
  }
}

function show(page) {
  const before = new Map([...main.querySelectorAll("li[data-state]")].map((row) => [row.id, row.dataset.state]));
  const open = [...main.querySelectorAll("details[open][id]")].map((part) => part.id);
  const focused = document.activeElement && document.activeElement.id;
  main.replaceChildren(...page.getElementById("main").childNodes);
  document.title = page.title;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  for (const row of main.querySelectorAll("li[data-state]")) {
    if (before.size && before.get(row.id) !== row.dataset.state) row.classList.add("moved");
  }
  for (const name of ["live", "poll"]) {
    if (page.body.dataset[name]) document.body.dataset[name] = page.body.dataset[name];
    else delete document.body.dataset[name];
  }
  if (!document.body.dataset.live) stop();
  tick();
}

function start() {
  if (source || !document.body.dataset.live || document.hidden) return;
  source = new EventSource(document.body.dataset.live);
  source.addEventListener("open", () => { say("on"); refresh(); });
  source.addEventListener("error", () => say("off"));
  source.addEventListener("change", refresh);
  source.addEventListener("over", () => { stop(); setTimeout(() => location.reload(), 2000); });
}

function stop() {
  source?.close();
  source = null;
  say(document.body.dataset.live ? "off" : "still");
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
});

// A hidden tab holds no connection; browsers allow only a few to one server.
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));

async function login() {
  // Somebody who followed a link from elsewhere looks logged out, since their cookie is strict; ask as ourselves.
  const answer = await fetch("/session").catch(() => null);
  const next = document.body.dataset.login;
  if (answer?.status === 204) location.replace(next.startsWith("/") && !/^\/[/\\]/.test(next) ? next : "/");
}

if ("login" in document.body.dataset) {
  login();
} else {
  setInterval(tick, 5000);
  setInterval(() => { if (again || document.body.dataset.poll) refresh(); }, 2000);
  if (document.body.dataset.live) start();
  else say("still");
}
