(() => {
  "use strict";
  const connection = document.getElementById("connection");
  let busy = false;

  // Replaces what the server rendered by what it renders now; whoever reads on keeps what is open.
  const refresh = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("state");
      const now = document.getElementById("state");
      const details = now.querySelector("details");
      if (details !== null && details.open) next.querySelector("details")?.setAttribute("open", "");
      now.replaceWith(document.adoptNode(next));
    } catch {
      connection.textContent = "The agent does not answer; what is shown may be old.";
    } finally {
      busy = false;
    }
  };

  const events = new EventSource("v1/events");
  events.addEventListener("open", () => { connection.textContent = "Updates by itself."; });
  events.addEventListener("error", () => {
    connection.textContent = "The agent does not answer; what is shown may be old.";
  });
  events.addEventListener("state", (event) => {
    if (event.lastEventId !== document.getElementById("state").dataset.etag) refresh();
  });
  // The age of the data, and attempts that change nothing, are no events.
  setInterval(() => { if (!document.hidden) refresh(); }, 15000);
})();
