#!/usr/bin/env python3
"""Looks at pages of `autofas-bench report` in headless Chromium: nothing on the console, nothing loaded from elsewhere, every picture
drawn, and no page wider than a phone.

    scripts/check_report.py [--screenshots FOLDER] PAGE.html ...

Prints one JSON line per page and exits with 1 where something is wrong. Chromium is the program that AUTOFAS_BENCH_CHROMIUM names,
or one on the PATH; where there is none, it says so and exits with 77. Needs Python 3.11 and nothing else: it speaks the DevTools
protocol with Chromium over a pair of pipes.
"""

import argparse
import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell"]
# Width and height in pixels, and the medium: a screen, a phone, a sheet of A4.
SIZES = [(1280, 900, "screen"), (390, 844, "screen"), (794, 1123, "print")]
SCHEMES = ["light", "dark"]
NO_BROWSER = 77
# A browser that hangs is given up after so long.
LIMIT_S = 300

# Every picture with what of it has a place on the page, and how wide the page is. Spots are there to be pointed at, not to be seen.
MEASURE = """(() => {
    const drawn = (svg) => [...svg.querySelectorAll('circle, rect, polyline, polygon, path, line, text')].filter((element) => {
        const {width, height} = element.getBoundingClientRect();
        return (width > 0 || height > 0) && element.getAttribute('fill') !== 'transparent';
    }).length;
    document.querySelectorAll('details').forEach((details) => { details.open = true; });
    const svgs = [...document.querySelectorAll('svg')];
    const cut = [...document.querySelectorAll('section, p, pre, .wide, figure, .tile')].filter((box) => {
        const {left, right} = box.getBoundingClientRect();
        return left < 0 || right > document.documentElement.clientWidth + 0.5;
    });
    return {
        pictures: svgs.map((svg) => ({
            name: svg.getAttribute('aria-label'),
            drawn: drawn(svg),
            width: svg.getBoundingClientRect().width,
        })),
        width: document.documentElement.scrollWidth,
        cut: cut.map((box) => box.outerHTML.slice(0, 80)),
        unfinished: document.querySelector('.note') !== null,
        background: getComputedStyle(document.body).backgroundColor,
    };
})()"""


class Browser:
    """A Chromium that is asked over pipes: messages are JSON, each ended by a zero byte."""

    def __init__(self, program, profile):
        (own_in, its_out), (its_in, own_out) = os.pipe(), os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        ]

        def give():
            # Kept apart first: one of them may already be 3 or 4.
            read, write = os.dup(its_in), os.dup(its_out)
            read, write = (os.dup(fd) if fd in (3, 4) else fd for fd in (read, write))
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, *flags], preexec_fn=give, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        self.inbox, self.outbox = os.fdopen(own_in, "rb", buffering=0), os.fdopen(own_out, "wb", buffering=0)
        self.rest, self.asked, self.events = b"", 0, []

    def read(self):
        while b"\0" not in self.rest:
            more = self.inbox.read(1 << 16)
            if not more:
                raise SystemExit("error: Chromium ended; start it by hand to see why")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **params):
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.outbox.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.asked:
                if "error" in answer:
                    raise SystemExit(f"error: Chromium refused {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())

    def close(self):
        self.outbox.close()
        self.inbox.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def look(browser, page, size, scheme, screenshots):
    """What is wrong with the page at that size, and what was measured of it."""
    width, height, medium = size
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.events.clear()
    for domain in ["Page", "Runtime", "Log", "Network"]:
        browser.ask(f"{domain}.enable", session)
    browser.ask(
        "Emulation.setDeviceMetricsOverride", session,
        width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.ask("Emulation.setEmulatedMedia", session, media=medium, features=features)
    browser.ask("Page.navigate", session, url=page.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")
    evaluated = browser.ask("Runtime.evaluate", session, expression=MEASURE, returnByValue=True)
    measured = evaluated["result"]["value"]
    wrong = []
    for event in browser.events:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                wrong.append(f"a script failed: {params['exceptionDetails']['text']}")
            case "Runtime.consoleAPICalled":
                wrong.append(f"on the console: {params['args']}")
            case "Log.entryAdded":
                wrong.append(f"in the log: {params['entry']['text']}")
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != page.resolve().as_uri() and not url.startswith("data:"):
                    wrong.append(f"loads {url}")
    pictures = measured["pictures"]
    if not pictures and not measured["unfinished"]:
        wrong.append("has no picture")
    wrong += [f"nothing is drawn in `{p['name']}`" for p in pictures if p["drawn"] < 3 or p["width"] < 100]
    if measured["width"] > width:
        wrong.append(f"is {measured['width']} pixels wide")
    wrong += [f"is cut off: {box}" for box in measured["cut"]]
    if screenshots:
        height = browser.ask("Page.getLayoutMetrics", session)["cssContentSize"]["height"]
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.ask("Page.captureScreenshot", session, format="png", captureBeyondViewport=True, clip=clip)
        name = f"{page.parent.name}-{page.stem}-{width}-{medium}-{scheme}.png"
        (screenshots / name).write_bytes(base64.b64decode(shot["data"]))
    browser.ask("Target.closeTarget", targetId=target)
    return [f"at {width} pixels, {medium}, {scheme}: {problem}" for problem in wrong], measured


def check(browser, page, screenshots):
    wrong, paper, pictures = [], {}, 0
    for size in SIZES:
        for scheme in SCHEMES:
            found, measured = look(browser, page, size, scheme, screenshots)
            wrong += found
            paper[size[2], scheme] = measured["background"]
            pictures = len(measured["pictures"])
    if paper["screen", "light"] == paper["screen", "dark"]:
        wrong.append("looks the same where the reader prefers dark")
    if paper["print", "dark"] != paper["print", "light"]:
        wrong.append("is printed dark")
    print(json.dumps({"page": str(page), "pictures": pictures, "ok": not wrong, "wrong": wrong}, ensure_ascii=False))
    return not wrong


def chromium():
    named = os.environ.get("AUTOFAS_BENCH_CHROMIUM")
    if named:
        found = shutil.which(named)
        if not found:
            raise SystemExit(f"error: AUTOFAS_BENCH_CHROMIUM names {named}, which is no program; name Chromium or leave it out")
        return found
    return next(filter(None, map(shutil.which, NAMES)), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("pages", nargs="+", type=pathlib.Path, metavar="PAGE.html")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="FOLDER", help="keep pictures of every page there")
    options = parser.parse_args()
    for page in options.pages:
        if not page.is_file():
            raise SystemExit(f"error: {page} is no file; name a page that `autofas-bench report` wrote")
    program = chromium()
    if program is None:
        print("NO BROWSER: pages were NOT looked at, for there is no Chromium; scripts/setup-chromium installs it", file=sys.stderr)
        raise SystemExit(NO_BROWSER)
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"error: Chromium did not answer for {LIMIT_S} s; start it by hand to see why"))
    signal.alarm(LIMIT_S)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            fine = [check(browser, page, options.screenshots) for page in options.pages]
        finally:
            browser.close()
    raise SystemExit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
