// Keeps pages up to date: when an event comes in, or now and then, the page is asked for once more and its parts marked
// data-live are replaced. Without JavaScript everything is there, as of when the page was loaded.
(() => {
  "use strict";
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  if (parts().length === 0 || !window.EventSource) return;

  const AT_LEAST = 1000; // between two looks
  const AT_MOST = 5000; // also without events: rates and ages change
  const status = document.getElementById("live");
  let asked = 0;
  let waiting = null;

  // Never under the hands of somebody who types or chooses.
  const isInUse = (part) => {
    const active = document.activeElement;
    return part.contains(active) && active.matches("input:not([type=hidden]), select, textarea");
  };

  // Where somebody is: by its id, or a link by where it leads.
  const again = (part, was) => was.id ? document.getElementById(was.id)
    : [...part.querySelectorAll("a")].find((link) => link.href === was.href);

  const replace = (part, fresh) => {
    if (part.isEqualNode(fresh) || isInUse(part)) return;
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    part.replaceWith(fresh);
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focused) again(fresh, focused)?.focus({ preventScroll: true });
  };

  const look = async () => {
    waiting = null;
    if (document.hidden) return;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts()) {
        const fresh = page.getElementById(part.id);
        if (fresh) replace(part, document.importNode(fresh, true));
      }
    } catch {
      // The server is away for a moment; the next look tells.
    }
  };

  const soon = () => {
    if (waiting === null) waiting = setTimeout(look, Math.max(0, asked + AT_LEAST - Date.now()));
  };

  const events = new EventSource("/api/events");
  events.onopen = () => {
    status.textContent = "live";
    soon(); // something may have happened while the page was on its way
  };
  events.onerror = () => { status.textContent = "reconnecting"; };
  events.onmessage = soon;
  document.addEventListener("visibilitychange", soon);
  setInterval(() => { if (Date.now() - asked >= AT_MOST) soon(); }, AT_MOST);
})();
