(() => {
  "use strict";
  const connection = document.getElementById("connection");
  const SECONDS = 15;
  let events, live = false, missed = false, answered = true, loading = false, again = false;

  const tell = () => {
    const lost = !live && !answered;
    const text = lost ? "The agent does not answer; what is shown may be old."
      : live ? "Updates by itself." : `Updates every ${SECONDS} seconds.`;
    document.documentElement.className = lost ? "lost" : "";
    if (connection.textContent !== text) connection.textContent = text;
  };

  // Replaces only the parts that differ, so that whoever reads, selects or scrolls can go on.
  const show = (next) => {
    const now = document.getElementById("state");
    const focused = document.activeElement?.id;
    for (const details of now.querySelectorAll("details[open]")) {
      next.querySelector(`#${details.id}`)?.setAttribute("open", "");
    }
    now.dataset.etag = next.dataset.etag;
    for (const part of now.querySelectorAll(":scope > section")) {
      if (next.querySelector(`#${part.id}`) === null) part.remove();
    }
    [...next.children].forEach((part, place) => {
      const old = document.getElementById(part.id);
      if (old === null) now.insertBefore(part, now.children[place] ?? null);
      else if (!old.isEqualNode(part)) old.replaceWith(part);
    });
    if (focused && document.activeElement?.id !== focused) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  };

  const load = async () => {
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      answered = answer.ok;
      if (!answered) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = next.title;
      show(next.getElementById("state"));
    } catch {
      answered = false;
    }
  };

  const refresh = async () => {
    again = true;
    if (loading) return;
    loading = true;
    while (again) {
      again = false;
      await load();
    }
    loading = false;
    tell();
  };

  const listen = () => {
    events = new EventSource("v1/events");
    events.addEventListener("open", () => {
      live = true;
      tell();
      if (missed) refresh();
      missed = false;
    });
    events.addEventListener("error", () => {
      live = false;
      missed = true;
      refresh();
    });
    events.addEventListener("state", (event) => {
      if (event.lastEventId !== document.getElementById("state").dataset.etag) refresh();
    });
  };

  listen();
  // The age of the data, and attempts that change nothing, are no events.
  setInterval(() => {
    if (events.readyState === EventSource.CLOSED) listen();
    if (!document.hidden) refresh();
  }, SECONDS * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
