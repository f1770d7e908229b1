"""The report for everyone: contrast measured in light and dark, charts by keyboard, paper."""

from __future__ import annotations

import pytest

from tests.browser.conftest import opened

#: WCAG 2: contrast of text (AA), and of marks that carry meaning (1.4.11).
TEXT, LARGE, MARK = 4.5, 3.0, 3.0
#: Every visible text with its size, colour and background; every mark of a chart with its fill and stroke. Opacities
#: of the element and of all above it are taken into account.
MEASURE = """
() => {
  const number = text => {
    const found = text.match(/rgba?\\(([^)]+)\\)/);
    if (!found) return null;
    const [r, g, b, a = 1] = found[1].split(/[ ,/]+/).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, at) => a * v + (1 - a) * under[at]);
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = number(getComputedStyle(at).backgroundColor);
      if (colour && colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const veil = element => {
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    return opacity;
  };
  const seen = element => element.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true});
  const measured = (element, colour, opacity) => {
    const parts = number(colour);
    if (!parts || parts[3] * opacity === 0) return 0;
    const under = behind(element);
    return contrast(over([...parts.slice(0, 3), parts[3] * opacity], under), under);
  };
  const found = {texts: [], marks: []};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !seen(element) || ["SCRIPT", "STYLE", "OPTION"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (veil(element) === 0) continue; // labels of an axis that would overlap
    const colour = svg ? style.fill : style.color;
    found.texts.push([element.textContent.trim().slice(0, 40), measured(element, colour, veil(element)), large]);
  }
  for (const group of document.querySelectorAll(".live .role-mark")) {
    const kind = [...group.classList].find(name => name.startsWith("mark-"));
    if (kind === "mark-text" || !seen(group.closest("svg"))) continue;
    for (const mark of group.querySelectorAll("path, line, rect")) {
      const style = getComputedStyle(mark);
      if (kind === "mark-area" && style.stroke === "none") continue; // lines of their own draw its edges
      const opacity = veil(mark);
      const best = Math.max(
        measured(mark, style.fill, opacity * Number(style.fillOpacity)),
        measured(mark, style.stroke, opacity * Number(style.strokeOpacity)));
      found.marks.push([kind + " " + style.fill + " " + style.stroke, best]);
    }
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_what_is_behind_them(browser, address, scheme):
    tab, _ = opened(browser, address, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    found = tab.evaluate(MEASURE)
    assert len(found["texts"]) > 1000
    assert len(found["marks"]) > 500
    faint = {(text, round(ratio, 2)) for text, ratio, large in found["texts"] if ratio < (LARGE if large else TEXT)}
    assert faint == set()
    assert {(mark, round(ratio, 2)) for mark, ratio in found["marks"] if ratio < MARK} == set()


def test_the_measure_finds_what_is_faint(browser, address):
    tab, _ = opened(browser, address)
    tab.evaluate("document.querySelector('.question, h1').style.color = '#999'")
    tab.evaluate("document.querySelector('#moved .live .mark-symbol path').style.opacity = 0.2")
    found = tab.evaluate(MEASURE)
    assert [round(ratio, 2) for _, ratio, _ in found["texts"] if ratio < LARGE] == [2.85]  # as WCAG's formula gives
    assert len([ratio for _, ratio in found["marks"] if ratio < MARK]) == 1


def opacities(tab, place):
    dots = tab.locator(place).first.locator(".live .mark-symbol.role-mark path")
    return dots.evaluate_all("marks => marks.map(mark => getComputedStyle(mark).opacity)")


def test_the_keyboard_picks_a_group_and_a_firm_out(browser, address):
    tab, _ = opened(browser, address)
    everyone = opacities(tab, "#moved figure")
    assert set(everyone) == {"1"}
    chosen = tab.locator("#moved figure select").first
    for _ in range(400):
        tab.keyboard.press("Tab")
        if chosen.evaluate("field => field === document.activeElement"):
            break
    assert chosen.evaluate("field => field.matches(':focus-visible')")
    assert chosen.evaluate("field => getComputedStyle(field).outlineStyle") == "solid"
    assert chosen.evaluate("field => field.labels[0].textContent").startswith("Pick out")
    tab.keyboard.type("Chinese f")
    tab.wait_for_timeout(300)
    assert chosen.evaluate("field => field.selectedOptions[0].text") == "Chinese foundries"
    assert opacities(tab, "#moved figure").count("1") == 4
    tab.wait_for_timeout(1500)  # until what was typed no longer belongs to the same word
    tab.keyboard.type("NVIDIA (")
    tab.wait_for_timeout(300)
    assert opacities(tab, "#moved figure").count("1") == 1
    tab.keyboard.press("Home")
    tab.wait_for_timeout(300)
    assert opacities(tab, "#moved figure") == everyone


def test_every_chart_has_words_and_every_field_a_name(browser, address):
    tab, _ = opened(browser, address)
    for figure in tab.locator("figure").all():
        assert len(figure.locator(".live").get_attribute("aria-label")) > 60
    unnamed = "fields => fields.filter(field => !field.labels.length && !field.ariaLabel).length"
    assert tab.locator("select, input, button").evaluate_all(unnamed) == 0
    assert tab.locator("svg [id]").count() == tab.evaluate(
        "new Set([...document.querySelectorAll('svg [id]')].map(part => part.id)).size"
    )


def test_hovering_a_specification_shows_its_choices(browser, address):
    tab, _ = opened(browser, address)
    tab.locator("#curve figure .live .mark-symbol.role-mark path").nth(3).hover()
    told = tab.locator("#vg-tooltip-element.visible")
    told.wait_for(timeout=5000)
    for words in ("CAAR", "95% from", "model", "estimation window", "filter"):
        assert words in told.inner_text()


def test_bands_stay_inside_the_frame(browser, address):
    """A band that is wider is cut; `tests/unit/display/test_charts.py` checks that the chart says so."""
    tab, _ = opened(browser, address)
    figures = tab.locator("#paths figure .live")
    assert figures.count() > 3
    inside = figures.evaluate_all(
        """figures => figures.every(live => {
          const frame = live.querySelector(".root > g > .background").getBoundingClientRect();
          const areas = [...live.querySelectorAll(".mark-area path")].map(area => area.getBoundingClientRect());
          return areas.every(area => area.top >= frame.top - 2 && area.bottom <= frame.bottom + 2);
        })"""
    )
    assert inside


#: Texts of the visible charts that leave their chart, or lie over another text, by more than a pixel or two.
TEXTS = """
() => {
  const veil = (part, svg) => {
    let opacity = 1;
    for (let at = part; at && at !== svg; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    return opacity;
  };
  const found = {texts: 0, cut: [], covered: []};
  for (const svg of document.querySelectorAll("figure svg")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width || !svg.checkVisibility({contentVisibilityAuto: true})) continue;
    const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim() && veil(text, svg) > 0);
    const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
    found.texts += boxes.length;
    boxes.forEach(([text, box], at) => {
      const outside = [frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom];
      if (Math.max(...outside) > 1) found.cut.push(text);
      for (const [other, beside] of boxes.slice(at + 1)) {
        const width = Math.min(box.right, beside.right) - Math.max(box.left, beside.left);
        const height = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top);
        if (width > 2 && height > 3) found.covered.push([text, other]);
      }
    });
  }
  return found;
}
"""


@pytest.mark.parametrize("size", [(1280, 800), (375, 812)])
def test_no_text_of_a_chart_is_cut_or_lies_over_another(browser, address, size):
    tab, _ = opened(browser, address, viewport={"width": size[0], "height": size[1]})
    found = tab.evaluate(TEXTS)
    assert found["texts"] > 300
    assert found["cut"] == []
    assert found["covered"] == []


def test_the_measure_of_texts_finds_one_that_lies_over_another(browser, address):
    tab, _ = opened(browser, address)
    tab.evaluate("document.querySelectorAll('#paths .live text').forEach(text => text.setAttribute('transform', ''))")
    assert len(tab.evaluate(TEXTS)["covered"]) > 0


def test_charts_fit_a_phone_with_the_zero_line_and_numbers_first(browser, address):
    tab, _ = opened(browser, address, viewport={"width": 375, "height": 812})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    figures = "parts => parts.filter(part => part.scrollWidth > part.clientWidth + 1).length"
    assert tab.locator("figure").evaluate_all(figures) == 0
    size = "text => Math.min(...text.map(t => t.getBoundingClientRect().height).filter(h => h > 0))"
    for place in ("#reached", "#moved", "#curve"):
        assert tab.locator(f"{place} figure .narrow svg:visible text").evaluate_all(size) >= 8, place
    labels = tab.locator("#moved figure .narrow").first.locator("text").all_text_contents()
    assert "0" in labels
    assert any(label[0] in "+−" and label.endswith("% NVIDIA") for label in labels)
    assert tab.locator("#short .move:visible").count() == 3


def test_the_chart_of_the_brief_ends_on_the_first_screen(browser, address):
    tab, _ = opened(browser, address, viewport={"width": 1280, "height": 800})
    panels = tab.locator("#short .panels").bounding_box()
    assert panels["height"] > 200
    assert panels["y"] + panels["height"] <= 800
    assert tab.locator("#short .move:visible").count() == 0


def test_the_report_is_at_most_ten_screens_long_before_folds_are_opened(browser, address):
    tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tab.goto(address)
    assert tab.evaluate("document.documentElement.scrollHeight") <= 8000


def test_charts_of_one_section_share_their_scale(browser, address):
    tab, _ = opened(browser, address)
    for place in ("#moved", "#paths"):
        axes = "parts => parts.map(part => part.getAttribute('aria-label')).filter(text => text.startsWith('X-axis'))"
        told = [
            figure.locator(".live [aria-label]").evaluate_all(axes) for figure in tab.locator(f"{place} figure").all()
        ]
        assert len(told) > 1
        assert {str(one) for one in told} == {str(told[0])}
        assert "X-axis" in str(told[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_has_no_controls(browser, address, scheme):
    tab, _ = opened(browser, address, color_scheme=scheme)
    tab.emulate_media(media="print", color_scheme=scheme)
    for useless in ("nav", "select", ".skip", ".hint", "#data"):
        assert tab.locator(f"{useless}:visible").count() == 0, useless
    assert tab.locator(".still:visible").count() == tab.locator("figure").count()
    papers = "parts => [...new Set(parts.map(part => getComputedStyle(part).backgroundColor))]"
    assert set(tab.locator("body, figure, figure .still svg").evaluate_all(papers)) == {"rgb(255, 255, 255)"}
    inks = "parts => parts.map(part => getComputedStyle(part).fill)"
    assert "rgb(51, 51, 51)" in tab.locator("#moved .still text").evaluate_all(inks)
    wide = "parts => Math.max(...parts.map(part => part.getBoundingClientRect().right))"
    tab.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins
    assert tab.locator("table, figure").evaluate_all(wide) <= 719
