// Demonstration: shows what has changed, every second. Without it the page is as it was when it was loaded.
//
// Only what differs is touched: whoever is at a button stays there, and a screen reader hears only what is new.
"use strict";

const PAUSE = 1000;
const board = document.getElementById("board");

/** By what an element is known again among its siblings; what has no such name is known by its kind. */
function nameOf(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) {
        return node.nodeName;
    }
    if (node.classList.contains("gone")) {
        return "gone";
    }
    const { signIn, account, token, tenant, event, step, compared, side } = node.dataset;
    return [node.nodeName, node.id, signIn, account, token, tenant, event, step, compared, side].join("|");
}

/** Makes the children of `old` those of `fresh`. */
function become(old, fresh) {
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
        let found = at;
        while (found !== null && nameOf(found) !== nameOf(wanted)) {
            found = found.nextSibling;
        }
        if (found === null) {
            const come = old.insertBefore(document.importNode(wanted, true), at);
            if (come.nodeType === Node.ELEMENT_NODE) {
                come.classList.add("new"); // until the next look, where no element has it
            }
            continue;
        }
        while (at !== found) {
            const gone = at;
            at = at.nextSibling;
            leave(gone);
        }
        at = at.nextSibling;
        if (found.nodeType === Node.ELEMENT_NODE) {
            attributes(found, wanted);
            become(found, wanted);
        } else if (found.nodeValue !== wanted.nodeValue) {
            found.nodeValue = wanted.nodeValue;
        }
    }
    while (at !== null) {
        const gone = at;
        at = at.nextSibling;
        leave(gone);
    }
}

function attributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
        if (!fresh.hasAttribute(name)) {
            old.removeAttribute(name);
        }
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) {
            old.setAttribute(name, value);
        }
    }
}

/** What the store holds no more is seen to go, until the next look. Whoever was at what goes is taken to the board. */
function leave(node) {
    const isHeld = node.nodeType === Node.ELEMENT_NODE && node.matches("[data-sign-in], [data-token], [data-account], .accounts");
    if (isHeld && !node.classList.contains("gone")) {
        for (const each of [node, ...node.querySelectorAll("*")]) {
            Object.keys(each.dataset).forEach((name) => delete each.dataset[name]);
        }
        node.classList.add("gone");
        node.setAttribute("aria-hidden", "true");
        return;
    }
    const wasHere = node.contains(document.activeElement);
    node.remove();
    if (wasHere) {
        board.focus({ preventScroll: true });
    }
}

async function look() {
    try {
        const answer = await fetch("/board", { cache: "no-store", credentials: "same-origin" });
        if (answer.ok) {
            const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
            become(board, fresh.body);
        }
    } catch {
        // The app is not there: perhaps again in a second.
    }
    setTimeout(look, PAUSE);
}

setTimeout(look, PAUSE);
