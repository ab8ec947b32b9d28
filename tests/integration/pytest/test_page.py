# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen's page as people meet it: a real browser, a real HAProxy, real agents or, where GPUs matter, stand-ins."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Source, Spec, Variant
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayHive, GatewayWorker
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_queen import KEY, Queen, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_stub import StubWorker
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import HERE, TREE, Host, free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.page_browser import (
    CHROMIUM,
    PAGE,
    PATIENCE,
    POOR_CONTRAST,
    chromium,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.page_stand_in import (
    GIB,
    AgentStandIn,
    component,
    device,
    state,
)

if t.TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, WebError

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

HOSTILE = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'


def expect(what: t.Any) -> t.Any:
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(what)


@pytest.fixture(scope="module")
def browser() -> t.Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser: Browser) -> t.Iterator[BrowserContext]:
    """A profile with an empty tab, which keeps its window open: to open one is most of the work of a test."""
    with browser.new_context() as window:
        window.new_page()
        yield window


@contextlib.contextmanager
def without_errors(context: BrowserContext) -> t.Iterator[BrowserContext]:
    """Its pages must not fail."""
    errors: list[str] = []

    def note(error: WebError) -> None:
        errors.append(str(error.error))

    context.set_default_timeout(PATIENCE)
    context.on("weberror", note)
    yield context
    context.remove_listener("weberror", note)
    assert errors == []


@pytest.fixture
def context(window: BrowserContext) -> t.Iterator[BrowserContext]:
    """A profile for tabs of one test. What our page remembers, it remembers by tab."""
    with without_errors(window):
        yield window
        for page in window.pages[1:]:
            page.close()
        window.set_offline(False)


@pytest.fixture
def clocked(browser: Browser) -> t.Iterator[BrowserContext]:
    """A profile of its own, whose time is up to the test."""
    with browser.new_context() as context, without_errors(context):
        context.clock.install()
        yield context


Agents = t.Callable[..., AgentStandIn]
Start = t.Callable[..., Queen]


@pytest.fixture
def agents() -> t.Iterator[Agents]:
    made: list[AgentStandIn] = []

    def begin(answer: dict[str, t.Any]) -> AgentStandIn:
        made.append(AgentStandIn(answer))
        return made[-1]

    yield begin
    for agent in made:
        agent.close()


@pytest.fixture
def stub() -> t.Iterator[StubWorker]:
    server = StubWorker("w")
    yield server
    server.close()


@pytest.fixture
def start(tmp_path: pathlib.Path) -> t.Iterator[Start]:
    queens: list[Queen] = []

    def begin(
        hives: t.Mapping[str, int], *workers: GatewayWorker, api_key_secret: str = "", fleet: str = "lab"
    ) -> Queen:
        """hives: port of the agent by alias."""
        gateway = Gateway(
            fleet,
            hives=tuple(GatewayHive(alias, "127.0.0.1", port) for alias, port in hives.items()),
            workers=workers,
            api_key_secret=api_key_secret,
            page=PAGE,
        )
        folder = tmp_path / f"queen-{len(queens)}"
        folder.mkdir()
        queens.append(Queen(folder, gateway))
        queens[-1].wait()
        return queens[-1]

    yield begin
    for queen in queens:
        queen.close()


def served(port: int, *models: str, hive: str = "h1", name: str = "w") -> GatewayWorker:
    return GatewayWorker(hive, name, "x", "127.0.0.1", port, models, "/health")


def url(queen: Queen) -> str:
    return f"http://127.0.0.1:{queen.gateway.port}/"


def show(context: BrowserContext, queen: Queen) -> Page:
    page = context.new_page()
    page.goto(url(queen))
    return page


def card(page: Page, alias: str) -> t.Any:
    return page.get_by_role("article", name=alias, exact=True)


# With real agents.


def agent_of(host: Host) -> Spec:
    return Spec(
        name="hive",
        type="hive",
        kind="hive",
        fleet=host.worker().fleet,
        version="1",
        variants=(Variant("default", {"any": Source("bundled", name="rbee-hive")}),),
        command=(
            sys.executable, str(HERE / "agent_driver.py"), str(TREE),
            "serve", "--bind", "{address}", "--port", "{port}", "--prefix", "{prefix}",
        ),
        address="127.0.0.1",
        port=free_port(),
        health=Health("/health", 120),
    )  # fmt: skip


def test_a_worker_that_stops_is_seen_without_a_reload(host: Host, start: Start, context: BrowserContext) -> None:
    agent, worker = agent_of(host), host.worker("w")
    host.run(agent, worker)
    queen = start({"h1": agent.port}, served(worker.port, "m"), fleet=worker.fleet)
    page = show(context, queen)
    row = card(page, "h1").get_by_role("listitem")
    expect(row).to_contain_text("running")
    expect(row).to_contain_text(re.compile(rf"port {worker.port} · {worker.version} \(cpu\) · up \d+ \w+"))
    expect(page.locator("#verdict")).to_have_text("✓ Everything is well")
    expect(page.get_by_role("row", name=re.compile("^m "))).to_contain_text("1 of 1")
    page.evaluate("window.before = document.querySelector('#hives li')")

    host.manager.stop("w")
    expect(row).to_contain_text("stopped")
    expect(row).to_contain_text("it should run")
    expect(page.locator("#verdict")).to_have_text("✕ 1 worker needs attention")
    expect(page.get_by_role("row", name=re.compile("^m "))).to_contain_text("0 of 1")
    assert page.title().startswith("(1) ")

    host.manager.start("w")
    expect(page.locator("#verdict")).to_have_text("✓ Everything is well")
    assert page.evaluate("window.before === document.querySelector('#hives li')"), "the row was made anew"


def test_a_dead_agent_is_said_and_the_queen_tells_how_its_workers_are(
    host: Host, start: Start, context: BrowserContext
) -> None:
    agent, worker = agent_of(host), host.worker("w")
    host.run(agent, worker)
    queen = start({"h1": agent.port}, served(worker.port, "m"), fleet=worker.fleet)
    page = show(context, queen)
    expect(card(page, "h1")).to_contain_text("answers")
    host.manager.stop("hive")
    expect(card(page, "h1")).to_contain_text("no answer")
    expect(card(page, "h1")).to_contain_text("The agent of this hive does not answer.")
    expect(card(page, "h1").get_by_role("listitem")).to_contain_text(re.compile("up.*as the queen sees it"))
    expect(page.locator("#verdict")).to_have_text("✕ 1 hive needs attention")


# What is shown.


def test_requests_are_counted_by_model(start: Start, agents: Agents, stub: StubWorker, context: BrowserContext) -> None:
    queen = start({"h1": agents(state(component("w"))).port}, served(stub.port, "m", "idle"))
    page = show(context, queen)
    rate = page.get_by_role("row", name=re.compile("^m ")).get_by_role("cell").nth(1)
    idle = page.get_by_role("row", name="idle").get_by_role("cell").nth(1)
    expect(idle).to_have_text("0.0")

    def asked() -> bool:
        queen.post("/v1/chat/completions", {"model": "m"})
        return re.fullmatch(r"[1-9]\d*(\.\d)?", page.locator("#n-rate b").inner_text()) is not None

    wait_until(asked, "requests to be counted")
    expect(rate).not_to_have_text("0.0")
    expect(idle).to_have_text("0.0")


def test_gpu_memory_is_a_bar_with_a_share_for_each_worker(
    start: Start, agents: Agents, context: BrowserContext
) -> None:
    processes = [
        {"pid": 1, "memory_bytes": 20 * GIB, "component": "w"},
        {"pid": 2, "memory_bytes": 20 * GIB, "component": "w"},
        {"pid": 3, "memory_bytes": None, "component": "v"},
        {"pid": 4, "memory_bytes": 1 * GIB, "component": ""},
    ]
    unknown = device(
        1, 0, memory_total_bytes=None, memory_used_bytes=None, reasons={"memory_used_bytes": "no permission"}
    )
    agent = agents(state(component("w"), component("v"), devices=[device(0, 60, processes=processes), unknown]))
    page = show(context, start({"h1": agent.port}))
    gpus = page.get_by_role("list", name="GPUs of h1").get_by_role("listitem")
    expect(gpus.nth(0)).to_contain_text("60.0 of 80.0 GiB")
    expect(gpus.nth(0)).to_contain_text("w 40.0 GiB")
    expect(gpus.nth(0)).to_contain_text("other 20.0 GiB")
    expect(gpus.nth(0)).to_contain_text("87 % busy · 64 °C · 412 W")
    meter = gpus.nth(0).get_by_role("meter")
    expect(meter).to_have_attribute("aria-valuetext", "60.0 of 80.0 GiB")
    assert [part.evaluate("node => node.style.width") for part in meter.locator("i").all()] == ["50%", "25%"]
    expect(gpus.nth(1)).to_contain_text("memory not known: no permission")
    expect(gpus.nth(1).get_by_role("meter")).to_have_count(0)
    expect(page.locator("#n-vram")).to_have_text("60.0 of 80.0 GiB")

    agent.state["devices"][0]["memory_used_bytes"] = 72 * GIB
    expect(gpus.nth(0)).to_contain_text("72.0 of 80.0 GiB")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"healthy": False, "health": "answered 503"}, ["✕unhealthy", "answered 503"]),
        ({"state": "starting", "reason": "answered 503", "healthy": False}, ["…starting"]),
        ({"state": "failed", "reason": "exited with 1", "since": None}, ["✕failed", "exited with 1"]),
        (
            {"state": "held", "reason": "stopped on request until it is started"},
            ["\N{EN DASH}held", "stopped on request"],
        ),
        ({"state": None, "reason": "only root may ask supervisor"}, ["?not known", "only root may ask supervisor"]),
        ({"problems": ["generation g: modified: start"]}, ["!running", "modified: start"]),
        ({"restarts": 1, "variant": "cpu", "since": 0}, ["✓running", "1 restart", "1.2 (cpu)", " d "]),
        ({"name": "other"}, ["✕missing", "declared, but not installed", "not declared"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_state_has_a_mark_and_a_word(
    start: Start, agents: Agents, stub: StubWorker, context: BrowserContext, changes: dict[str, t.Any], words: list[str]
) -> None:
    found = component(**{"name": "w", **changes})
    page = show(context, start({"h1": agents(state(found)).port}, served(stub.port, "m")))
    for word in words:
        expect(card(page, "h1")).to_contain_text(word)


def test_components_of_another_fleet_are_not_shown(start: Start, agents: Agents, context: BrowserContext) -> None:
    page = show(context, start({"h1": agents(state(component("w"), component("theirs", fleet="other"))).port}))
    expect(card(page, "h1")).to_contain_text("running")
    expect(card(page, "h1")).not_to_contain_text("theirs")


def test_names_from_data_never_become_markup(
    start: Start, agents: Agents, stub: StubWorker, context: BrowserContext
) -> None:
    model = component("model-x", kind="model", served_name=HOSTILE, state="installed")
    hostile = component(
        "w", type=HOSTILE, version=HOSTILE, served_name=HOSTILE, state="failed", reason=HOSTILE, problems=[HOSTILE]
    )
    gpu = device(0, 1, name=HOSTILE, driver=HOSTILE, memory_used_bytes=None, reasons={"memory_used_bytes": HOSTILE})
    answer = state(hostile, model, component(HOSTILE), devices=[gpu])
    answer["host"].update(platform=HOSTILE, busy=True, holder={"controller": HOSTILE})
    queen = start({"h1": agents(answer).port}, served(stub.port, HOSTILE), fleet=HOSTILE)
    for found in answer["components"]:
        found["fleet"] = HOSTILE
    page = show(context, queen)
    expect(card(page, "h1")).to_contain_text("failed")
    expect(page.get_by_role("rowheader")).to_have_text(HOSTILE)
    expect(page.locator("h1")).to_have_text(f"rbee · {HOSTILE}")
    assert card(page, "h1").inner_text().count(HOSTILE) >= 9
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.evaluate("window.harmed") is None


def test_the_browser_runs_no_script_and_loads_nothing_that_is_not_the_page_s(
    start: Start, agents: Agents, context: BrowserContext
) -> None:
    queen, elsewhere = start({"h1": agents(state(component("w"))).port}), agents(state())
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url(queen))
    expect(card(page, "h1")).to_contain_text("running")
    assert all(address.startswith((url(queen), "data:")) for address in asked), asked
    page.evaluate("""() => {
      document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.harmed = 1">');
      document.body.append(Object.assign(document.createElement("script"), { textContent: "window.harmed = 2" }));
    }""")
    send = f"fetch('http://127.0.0.1:{elsewhere.port}/', {{ mode: 'no-cors' }}).catch((error) => error.name)"
    assert page.evaluate(send) == "TypeError"
    assert elsewhere.seen == []
    assert page.evaluate("window.harmed") is None


# The key.


def test_a_wrong_key_is_said_and_the_right_one_is_kept_by_this_tab_alone(
    start: Start, agents: Agents, context: BrowserContext
) -> None:
    queen = start({"h1": agents(state(component("w"))).port}, api_key_secret="key")
    page = show(context, queen)
    field = page.get_by_label("API key")
    expect(page.get_by_text("This fleet needs its API key")).to_be_visible()
    expect(page.locator("#wrong")).to_have_text("")
    field.fill("wrong")
    page.get_by_role("button", name="Show the fleet").click()
    expect(page.locator("#wrong")).to_have_text("This key is not accepted. Check it and try again.")
    expect(field).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    field.fill("schlüssel")
    field.press("Enter")
    expect(page.locator("#wrong")).to_contain_text("A key has only letters")
    field.fill(f" {KEY} ")
    field.press("Enter")
    expect(card(page, "h1")).to_contain_text("running")
    expect(field).to_be_hidden()

    page.reload()
    expect(card(page, "h1")).to_contain_text("running")
    assert page.evaluate("[Object.values({...localStorage}), document.cookie, location.href]") == [[], "", url(queen)]
    assert KEY not in page.content()
    other = show(context, queen)
    expect(other.get_by_label("API key")).to_be_visible()

    page.get_by_role("button", name="Forget key").click()
    expect(field).to_be_focused()
    expect(card(page, "h1")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0


def test_without_a_key_none_is_asked_for(start: Start, agents: Agents, context: BrowserContext) -> None:
    page = show(context, start({"h1": agents(state(component("w"))).port}))
    expect(card(page, "h1")).to_contain_text("running")
    expect(page.get_by_label("API key")).to_be_hidden()
    expect(page.get_by_role("button", name="Forget key")).to_be_hidden()


def test_the_keyboard_is_enough(start: Start, agents: Agents, context: BrowserContext) -> None:
    hives = {"h1": agents(state(component("w"))).port, "h2": agents(state(component("w", state="failed"))).port}
    page = show(context, start(hives, api_key_secret="key"))
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(KEY)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Show the fleet")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(card(page, "h2")).to_contain_text("failed")
    reached = []
    for _press in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    assert reached == ["forget", "filter", "only"]
    page.keyboard.press("Space")
    expect(card(page, "h1")).to_be_hidden()
    expect(page.locator("#shown")).to_have_text("1 of 2 hives")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("h1 run")
    expect(card(page, "h2")).to_be_hidden()
    expect(card(page, "h1")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("API key")).to_be_focused()


# When something hangs or is gone.


def test_hives_that_hang_keep_no_other_waiting(start: Start, agents: Agents, context: BrowserContext) -> None:
    hanging = [agents(state(component("w"))) for _number in range(4)]
    for agent in hanging:
        agent.hold.clear()
    well = agents(state(component("w")))
    hives = {f"slow-{index}": agent.port for index, agent in enumerate(hanging)} | {"well": well.port}
    page = show(context, start(hives))
    expect(card(page, "slow-3")).to_contain_text("No answer within 5 s.")
    before = len(hanging[0].seen), len(well.seen)
    wait_until(lambda: len(hanging[0].seen) > before[0], "a hanging hive to be asked again", timeout=60)
    assert len(well.seen) - before[1] >= 3, "it was asked no more often than those that hang"
    for agent in hanging:
        agent.hold.set()
    expect(card(page, "slow-0")).to_contain_text("running")


def test_when_the_queen_is_gone_the_page_says_so_and_how_old_its_data_is(
    start: Start, agents: Agents, context: BrowserContext
) -> None:
    page = show(context, start({"h1": agents(state(component("w"))).port}))
    expect(card(page, "h1")).to_contain_text("running")
    context.set_offline(True)
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text(re.compile(r"The queen does not answer\. What is shown here is of \d+:"))
    expect(card(page, "h1")).to_contain_text(re.compile(r"What is shown here is \d+ s old\."))
    expect(card(page, "h1")).to_contain_text("running")
    context.set_offline(False)
    expect(trouble).to_be_hidden()
    expect(card(page, "h1")).not_to_contain_text("old")


def test_an_agent_that_is_not_ours_is_said(start: Start, stub: StubWorker, context: BrowserContext) -> None:
    page = show(context, start({"h1": stub.port}))
    expect(card(page, "h1")).to_contain_text("Its answer is not the state of a hive.")


def test_a_hidden_tab_asks_nothing(start: Start, agents: Agents, clocked: BrowserContext) -> None:
    page = show(clocked, start({"h1": agents(state(component("w"))).port}))
    expect(card(page, "h1")).to_contain_text("running")
    page.evaluate("""() => {
      window.hiding = false;
      window.asked = [];
      window.waiting = 0;
      Object.defineProperty(document, "hidden", { get: () => window.hiding });
      const plain = window.fetch;
      window.fetch = async (path, options) => {
        window.asked.push(path);
        window.waiting += 1;
        try {
          const answer = await plain(path, options);
          await answer.clone().text();
          return answer;
        } finally {
          window.waiting -= 1;
        }
      };
    }""")
    every = {"/v1/info", "/v1/hives", "/v1/load", "/hives/h1/v1/state"}

    def asked() -> set[str]:
        """What is asked in the next three seconds of its clock, which stands still until all of it is answered."""
        page.evaluate("() => { window.asked = []; }")
        clocked.clock.run_for(3000)
        wait_until(lambda: page.evaluate("window.waiting") == 0, "answers")
        return set(page.evaluate("window.asked"))

    found: set[str] = set()
    wait_until(lambda: found.update(asked()) or found == every, "everything to be asked")
    page.evaluate("() => { window.hiding = true; }")
    expect(page.locator("#trouble")).to_be_hidden()
    wait_until(lambda: asked() == asked() == set(), "what was begun to end")
    for _time in range(10):
        assert asked() == set()
    found.clear()
    page.evaluate("() => { window.hiding = false; document.dispatchEvent(new Event('visibilitychange')); }")
    wait_until(lambda: found.update(asked()) or found == every, "everything to be asked again")


# On every screen.


def busy_fleet(start: Start, agents: Agents, stub: StubWorker) -> Queen:
    """Something of everything that can be seen."""
    long = "meta-llama/Llama-3.1-405B-Instruct-with-a-name-that-does-not-end"
    processes = [{"pid": 1, "memory_bytes": 40 * GIB, "component": "w"}]
    one = state(
        component("w", served_name=long),
        component("failing", state="failed", reason="exited with 1"),
        component("held", state="held"),
        component("unknown", state=None),
        component("starting", state="starting"),
        component("model-x", kind="model", served_name=long, state="installed"),
        devices=[device(index, 61.2, processes=processes) for index in range(8)],
    )
    one["host"].update(busy=True, holder={"controller": "ada@laptop"})
    return start(
        {"h1": agents(one).port, "gone": free_port()}, served(stub.port, long), served(free_port(), "m", name="failing")
    )


def test_text_can_be_read_in_light_and_dark(
    start: Start, agents: Agents, stub: StubWorker, context: BrowserContext
) -> None:
    page = show(context, busy_fleet(start, agents, stub))
    expect(card(page, "h1")).to_contain_text("failed")
    expect(card(page, "gone")).to_contain_text("no answer")
    page.evaluate("() => { document.querySelector('#ask').hidden = false; }")
    schemes: tuple[t.Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background))) < 128 * 3) == (scheme == "dark")
        assert page.evaluate(POOR_CONTRAST) == []


def test_nothing_is_wider_than_the_screen(
    start: Start, agents: Agents, stub: StubWorker, context: BrowserContext
) -> None:
    page = show(context, busy_fleet(start, agents, stub))
    expect(card(page, "h1")).to_contain_text("failed")
    for width in (320, 360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wider = (
            "[...document.querySelectorAll('body *')].filter((n) => n.scrollWidth > n.clientWidth + 1 && n.clientWidth"
        )
        assert page.evaluate(f"{wider} && !n.closest('.away')).map((n) => n.outerHTML.slice(0, 99))") == []


def test_motion_only_for_who_wants_it(start: Start, agents: Agents, context: BrowserContext) -> None:
    page = show(context, start({"h1": agents(state(component("w"), devices=[device(0, 60)])).port}))
    wishes: tuple[tuple[t.Literal["reduce", "no-preference"], str], ...]
    wishes = (("reduce", "0s"), ("no-preference", "0.4s"))
    for wish, seconds in wishes:
        page.emulate_media(reduced_motion=wish)
        part = page.locator(".meter i").first
        assert part.evaluate("node => getComputedStyle(node).transitionDuration") == seconds


@pytest.mark.long
def test_three_hundred_hives_can_be_used(start: Start, agents: Agents, context: BrowserContext) -> None:
    agent = agents(state(component("w"), component("v", served_name="smol")))
    queen = start({f"hive-{number:03}": agent.port for number in range(300)})
    page = show(context, queen)
    expect(page.locator("#n-hives")).to_have_text("300 of 300 answer")
    page.get_by_role("searchbox").fill("hive-29")
    expect(page.locator("#shown")).to_have_text("10 of 300 hives")
    page.get_by_role("searchbox").fill("")
    page.evaluate("window.before = [...document.querySelectorAll('#hives *')]")
    page.evaluate("window.scrollTo(0, 5000)")
    agent.state["components"][0]["state"] = "failed"
    expect(page.locator("#verdict")).to_have_text("✕ 300 workers need attention")
    assert page.evaluate("window.scrollY") == 5000
    assert page.evaluate("document.activeElement.id") == "filter"
    kept = "window.before.filter((node) => document.contains(node)).length === window.before.length"
    assert page.evaluate(kept), "elements were made anew"
