// Asks for the page again and changes in place what differs, so nothing jumps: scroll positions and open steps stay.
const going = 1000, idle = 5000;

function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) { now.replaceWith(next); return; }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  const follows = now.nodeName === "PRE" && now.scrollHeight - now.scrollTop - now.clientHeight < 8;
  const olds = [...now.childNodes], news = [...next.childNodes];
  news.forEach((child, index) => { olds[index] ? morph(olds[index], child) : now.append(child); });
  olds.slice(news.length).forEach((child) => child.remove());
  if (follows) now.scrollTop = now.scrollHeight;
}

async function refresh() {
  try {
    if (document.visibilityState === "visible") {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.title = next.title;
        document.body.dataset.refresh = next.body.dataset.refresh;
        morph(document.querySelector("main"), next.querySelector("main"));
      }
    }
  } catch { /* the server is away; the next try may find it back */ }
  schedule();
}

function schedule() {
  const mode = document.body.dataset.refresh;
  if (mode !== "never") setTimeout(refresh, mode === "going" ? going : idle);
}

document.querySelectorAll("pre").forEach((log) => { log.scrollTop = log.scrollHeight; });
schedule();
