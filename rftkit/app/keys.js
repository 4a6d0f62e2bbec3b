// Keys press buttons that are there anyway; the live region and names that Gradio leaves out.
(() => {
  const press = id => {
    const place = document.getElementById(id);
    const button = place && (place.matches("button") ? place : place.querySelector("button"));
    if (button && !button.disabled) button.click();
  };
  const typing = target => target.closest("input:not([type=range]), textarea, select, [contenteditable]");
  document.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      press("rft-run");
    } else if (event.key === "Escape") {
      press("rft-stop");
    } else if (/^[1-4]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (!typing(event.target)) press("rft-vote-" + event.key);
    }
  }, true);
  document.addEventListener("click", event => {
    if (!event.target.closest("#rft-run, .rft-example")) return;
    document.body.dataset.running = "";  // until the run is over: another press does nothing
    if (window.matchMedia("(max-width: 640px)").matches) {
      document.getElementById("rft-answers")?.scrollIntoView({ behavior: "smooth" });
    }
  });
  let opening = false;  // a row was pressed: its tab goes, and the focus must not go with it
  document.addEventListener("click", event => {
    opening = Boolean(event.target.closest(".rft-open"));
  });
  const follow = () => {
    const answers = document.getElementById("rft-banner");
    if (!opening || !answers?.offsetParent) return;
    opening = false;
    answers.tabIndex = -1;
    answers.focus();
  };
  // What a reader opened or closed stays so while the text around it is written anew, which may
  // be between press and release: then there is no click.
  let folds = {}, pressed = "", turned = false;
  const paneOf = element => element.closest("#rft-left, #rft-right")?.id ?? "";
  const foldOf = details => details?.isConnected
    ? paneOf(details) + details.querySelector("summary").firstChild.textContent : "";
  const foldAt = event => event.target.closest(".rft-pane summary")?.parentElement;
  const turn = details => {
    folds[foldOf(details)] = details.open = !details.open;
    scrollReasoning();
  };
  document.addEventListener("pointerdown", event => {
    [pressed, turned] = [foldOf(foldAt(event)), false];
  });
  document.addEventListener("pointerup", event => {
    const details = foldAt(event);
    if (!pressed || pressed !== foldOf(details)) return;
    turn(details);
    turned = true;
  });
  document.addEventListener("click", event => {
    if (event.target.closest("#rft-run, .rft-example, .rft-open")) [folds, scrolled] = [{}, {}];
    const details = foldAt(event);
    if (!details) return;
    event.preventDefault();
    if (!turned || event.detail === 0) turn(details);  // by a key, or read aloud
  });
  const refold = () => {
    for (const details of document.querySelectorAll(".rft-pane details")) {
      const open = folds[foldOf(details)] ?? details.open;
      if (details.open !== open) details.open = open;
    }
  };
  // A long reasoning scrolls in its own box: along with the text while it is written, unless its
  // reader has scrolled up; then it stays where the reader left it.
  let scrolled = {}, heights = new WeakMap();
  document.addEventListener("scroll", event => {
    const box = event.target;
    if (!box.isConnected || !box.matches?.(".rft-reasoning")) return;
    const left = box.scrollHeight - box.clientHeight - box.scrollTop;
    scrolled[paneOf(box)] = { top: box.scrollTop, follows: left < 8 };
  }, true);
  const scrollReasoning = () => {
    for (const box of document.querySelectorAll(".rft-reasoning")) {
      if (!box.clientHeight || heights.get(box) === box.scrollHeight) continue;  // hidden, or as it was
      heights.set(box, box.scrollHeight);
      const ended = box.closest(".rft-pane").querySelector(".state.done, .state.stopped, .state.failed");
      const { top, follows } = scrolled[paneOf(box)] ?? { top: 0, follows: !ended };
      box.scrollTop = follows ? box.scrollHeight : top;
    }
  };
  // The true box is drawn on the image itself: from where the pointer goes down to where it goes up,
  // in pixels of the image, which is shown within its frame, as large as it fits.
  const imageOf = target => target.closest?.("#rft-image")?.querySelector("img");
  const placed = (event, image) => {
    const frame = image.getBoundingClientRect(), pad = parseFloat(getComputedStyle(image).paddingTop) || 0;
    const high = frame.height - pad;
    const scale = Math.min(frame.width / image.naturalWidth, high / image.naturalHeight);
    const left = frame.left + (frame.width - image.naturalWidth * scale) / 2;
    const top = frame.top + pad + (high - image.naturalHeight * scale) / 2;
    const clamp = (value, most) => Math.round(Math.max(0, Math.min(most, value)) * 10) / 10;
    return { x: clamp((event.clientX - left) / scale, image.naturalWidth),
             y: clamp((event.clientY - top) / scale, image.naturalHeight) };
  };
  let corner = null, drawn = null;
  const place = event => {
    const box = drawn.parentElement.getBoundingClientRect();
    drawn.style.left = Math.min(event.clientX, corner.clientX) - box.left + "px";
    drawn.style.top = Math.min(event.clientY, corner.clientY) - box.top + "px";
    drawn.style.width = Math.abs(event.clientX - corner.clientX) + "px";
    drawn.style.height = Math.abs(event.clientY - corner.clientY) + "px";
  };
  document.addEventListener("click", event => {
    const button = event.target.closest("#rft-draw");
    if (!button) return;
    const on = !("drawing" in document.body.dataset);
    on ? document.body.dataset.drawing = "" : delete document.body.dataset.drawing;
    button.setAttribute("aria-pressed", on);
    if (on) document.getElementById("rft-image").scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("pointerdown", event => {
    const image = "drawing" in document.body.dataset && imageOf(event.target);
    if (!image) return;
    event.preventDefault();
    event.stopPropagation();
    corner = { ...placed(event, image), clientX: event.clientX, clientY: event.clientY, image };
    drawn = document.createElement("div");
    drawn.className = "rft-drawn";
    const frame = document.getElementById("rft-image");
    frame.style.position = "relative";
    frame.append(drawn);
    place(event);
  }, true);
  document.addEventListener("pointermove", event => { if (corner) place(event); });
  document.addEventListener("pointerup", event => {
    if (!corner) return;
    const end = placed(event, corner.image), start = corner;
    drawn.remove();
    corner = drawn = null;
    const box = [Math.min(start.x, end.x), Math.min(start.y, end.y),
                 Math.max(start.x, end.x), Math.max(start.y, end.y)];
    if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return;
    const field = document.querySelector("#rft-truth textarea, #rft-truth input");
    let known = [];
    try { known = JSON.parse(field.value || "[]"); } catch { known = []; }
    field.value = JSON.stringify([...(Array.isArray(known) ? known : []), box]);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("blur", { bubbles: true }));
  });
  const name = () => {
    follow();
    refold();
    scrollReasoning();
    const status = document.getElementById("rft-status");
    if (status && !status.hasAttribute("aria-live")) {
      status.setAttribute("role", "status");
      status.setAttribute("aria-live", "polite");
    }
    const origin = document.querySelector(".rft-origin");
    if (origin && origin.textContent !== location.origin) origin.textContent = location.origin;
    document.documentElement.lang = document.documentElement.lang || "en";
  };
  new MutationObserver(name).observe(document.documentElement, {
    childList: true, characterData: true, subtree: true,
    attributes: true, attributeFilter: ["style", "class", "open"],
  });
})();
