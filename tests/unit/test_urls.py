"""Addresses that lead to the same page have one spelling, and those that lead nowhere are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_system.errors import ValidationError
from agent_system.managers.links.extraction import extract_urls, is_url_only, is_valid_url
from agent_system.models.urls import LONGEST_URL, normalise_url, url_domain, url_hash, without_credentials

SAME = {
    "https://example.com/": [
        "https://example.com",
        "HTTPS://EXAMPLE.COM:443/",
        "  https://Example.com/#fragment\n",
        "https://example.com./",
        "https://example.com/?utm_source=a&UTM_medium=b&fbclid=c&gclid=d",
        "https://ada:secret@example.com/",
        "https://example.com/a/..",
        "https://example.com//",
    ],
    "http://example.com:8080/a/b?q=1&q=2&r=": ["http://EXAMPLE.com:8080/./a/x/../b/?q=1&&q=2&r=&mc_cid=3#x"],
    "https://example.com/~ada/%C3%A9%2F%25?x=%20&y=a+b": [
        "https://example.com/%7Eada/%c3%a9%2f%25?x=%20&y=a+b",
        "https://example.com/~ada/é%2F%?x=%20&y=a+b",
    ],
    "https://xn--e1afmkfd.xn--p1ai/%D0%BF": ["https://Пример.РФ/п", "https://xn--e1afmkfd.XN--p1ai/%d0%bf"],
    "https://xn--strae-oqa.de/": ["https://straße.de"],
    "https://xn--i-7iq.ws/": ["https://i❤.ws"],
    "http://[2001:db8::1]:8080/": ["http://[2001:DB8:0:0::0001]:8080"],
    "https://localhost:3000/p": ["https://LOCALHOST:3000/p/"],
}


@pytest.mark.parametrize(("normal", "spellings"), SAME.items())
def test_one_page_has_one_spelling(normal: str, spellings: list[str]) -> None:
    assert {normalise_url(url) for url in [normal, *spellings]} == {normal}
    assert normal.isascii()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "http://example.com/a"),
        ("https://example.com/?a=1&b=2", "https://example.com/?b=2&a=1"),
        ("https://example.com/?ref=1", "https://example.com/"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com:8443/", "https://example.com/"),
        ("https://www.example.com/", "https://example.com/"),
    ],
)
def test_different_pages_stay_different(one: str, other: str) -> None:
    assert normalise_url(one) != normalise_url(other)
    assert url_hash(normalise_url(one)) != url_hash(normalise_url(other))


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("example.com", "http"),
        ("ftp://example.com", "http"),
        ("javascript:alert(1)", "http"),
        ("file:///etc/passwd", "http"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://a..b", "host"),
        ("https://-a.com", "host"),
        (f"https://{'a' * 64}.com", "host"),
        (f"https://{'a.' * 130}com", "host"),
        ("https://exa mple.com", "white space"),
        ("https://example.com/a\x00b", "white space"),
        ("https://example.com:99999", "port"),
        ("https://example.com:x", "port"),
        ("https://[::1", "no address"),
        ("https://[1.2.3.4]/", "IPv6|no address"),
        ("https://\ud800.com/", "host"),
        ("https://example.com/\ud800", "characters"),
        (f"https://example.com/{'a' * LONGEST_URL}", f"at most {LONGEST_URL}"),
        (f"https://example.com/{'ü' * (LONGEST_URL // 4)}", f"at most {LONGEST_URL}"),
    ],
)
def test_what_is_no_address_is_refused(url: str, rule: str) -> None:
    with pytest.raises(ValidationError, match=rule) as caught:
        normalise_url(url)
    assert caught.value.field == "url"
    assert not is_valid_url(url)


def test_a_long_address_is_kept() -> None:
    url = "https://example.com/" + "a" * (LONGEST_URL - 20)
    assert normalise_url(url) == url


@given(st.text(max_size=30))
def test_whatever_is_typed_has_a_spelling_that_stays_or_is_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            normal = normalise_url(url)
        except ValidationError:
            continue
        assert normalise_url(normal) == normal
        assert url_domain(normal)
        assert without_credentials(url) == without_credentials(without_credentials(url))


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://WWW.Example.com:8080/", "example.com"),
        ("https://www.com/", "www.com"),
        ("https://例え.jp/", "例え.jp"),
        ("https://xn--e1afmkfd.xn--p1ai/", "пример.рф"),
        ("https://xn--a.com/", "xn--a.com"),
        ("https://[::1]/", "::1"),
        ("https://localhost:3000/", "localhost"),
    ],
)
def test_domains_are_those_that_people_write(url: str, domain: str) -> None:
    assert url_domain(normalise_url(url)) == domain


def test_passwords_do_not_stay_in_what_was_written() -> None:
    assert without_credentials(" https://ada:pa@ss@example.com/a@b ") == "https://example.com/a@b"
    assert without_credentials("HTTPS://Example.com/?utm_source=x") == "HTTPS://Example.com/?utm_source=x"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        ("no address, not even www.example.com", []),
        ("See https://example.com/a, and (http://example.org/b_(c)).", ["https://example.com/a", "http://example.org/b_(c)"]),
        ('<a href="https://example.com/?a=1&b=2">x</a>', ["https://example.com/?a=1&b=2"]),
        ("[text](https://example.com/a) **https://example.com/b**", ["https://example.com/a", "https://example.com/b"]),
        ("见https://例え.jp/路。还有「https://example.com/」\uff01", ["https://例え.jp/路", "https://example.com/"]),
        ("HTTPS://EXAMPLE.COM https://example.com HTTPS://EXAMPLE.COM", ["HTTPS://EXAMPLE.COM", "https://example.com"]),
        ("https:// http://. https://example.com:99999", []),
        ("https://example.com/a?b#c! 'https://example.com/d'", ["https://example.com/a?b#c", "https://example.com/d"]),
    ],
)  # fmt: skip
def test_addresses_are_found_in_texts(text: str, urls: list[str]) -> None:
    assert extract_urls(text) == urls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com", True),
        ("  https://example.com/a?b#c \n", True),
        ("https://例え.jp/路", True),
        ("look: https://example.com", False),
        ("https://example.com https://example.org", False),
        ("https://example.com.", False),
        ("www.example.com", False),
        ("https://", False),
        ("", False),
    ],
)
def test_a_message_that_is_an_address_is_known(text: str, expected: bool) -> None:  # noqa: FBT001 (the expected value)
    assert is_url_only(text) is expected
