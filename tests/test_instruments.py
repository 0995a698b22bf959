"""Reading the dump, finding instruments by what is typed, option chains."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck import sessions
from tapedeck.clock import ist_ns
from tapedeck.errors import BadAnswer, UnknownInstrument
from tapedeck.instruments import KINDS, Instruments
from tapedeck.schema import Instrument

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
NOVEMBER, WEEKLY, DECEMBER = date(2026, 11, 23), date(2026, 12, 1), date(2026, 12, 29)
SHARES = {
    "INFY": "INFOSYS",
    "INFIBEAM": "INFIBEAM AVENUES",
    "RELIANCE": "RELIANCE INDUSTRIES",
    "RELINFRA": "RELIANCE INFRASTRUCTURE",
    "TATASTEEL": "TATA STEEL",
    "TATAMOTORS": "TATA MOTORS",
    "HDFCBANK": "HDFC BANK",
    "BAJAJ-AUTO": "BAJAJ AUTO",
    "M&M": "MAHINDRA & MAHINDRA",
    "MCX": "MULTI COMMODITY EXCHANGE",
    "CDSL": "CENTRAL DEPO SER (I)",
    "NIFTYBEES": "NIPPON INDIA ETF NIFTY BEES",
    "SMALLCO": "A SMALL COMPANY",
}
WITH_DERIVATIVES = ("INFY", "RELIANCE", "TATASTEEL", "HDFCBANK", "M&M", "MCX", "CDSL")
INDICES = ("NIFTY 50", "NIFTY BANK", "NIFTY 500", "INDIA VIX")


def rows() -> list[list[Any]]:
    """A small dump with everything in it that a big one has."""
    dump: list[list[Any]] = []

    def add(segment: int, symbol: str, name: str, expiry: date | str, strike: float, kind: str, where: str) -> None:
        number = len(dump) + 1
        exchange, _, _ = where.partition("-")
        tick, lot = (0, 0) if segment == 9 else (0.05, 75 if expiry else 1)
        exchange = {"INDICES": "BSE" if symbol == "SENSEX" else "NSE"}.get(exchange, exchange)
        dump.append([number << 8 | segment, number, symbol, name, 0, expiry, strike, tick, lot, kind, where, exchange])

    for symbol in (*INDICES, "SENSEX"):
        add(9, symbol, symbol, "", 0, "EQ", "INDICES")
    for symbol, name in SHARES.items():
        add(1, symbol, name, "", 0, "EQ", "NSE")
        add(4, symbol, name, "", 0, "EQ", "BSE")
    for name in ("NIFTY", "BANKNIFTY", *WITH_DERIVATIVES):
        for expiry in (NOVEMBER, DECEMBER):
            add(2, f"{name}26{expiry:%b}FUT".upper(), name, expiry, 0, "FUT", "NFO-FUT")
        middle = {"NIFTY": 24500, "BANKNIFTY": 52000}.get(name, 1500)
        for expiry in (NOVEMBER, WEEKLY, DECEMBER) if name.endswith("NIFTY") else (NOVEMBER, DECEMBER):
            for strike in range(middle - 200, middle + 300, 100):
                for kind in ("CE", "PE"):
                    add(2, f"{name}{expiry:%y%b%d}{strike}{kind}".upper(), name, expiry, strike, kind, "NFO-OPT")
    for name in ("GOLD", "GOLDM", "MENTHAOIL", "KAPAS"):
        add(7, f"{name}26DECFUT", name, date(2026, 12, 4), 0, "FUT", "MCX-FUT")
    add(3, "USDINR26NOVFUT", "USDINR", date(2026, 11, 26), 0, "FUT", "CDS-FUT")
    return dump


def as_csv(dump: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER.split(","), *dump])
    return text.getvalue()


@pytest.fixture(scope="module")
def instruments() -> Instruments:
    return Instruments.from_csv(as_csv(rows()).encode())


def keys(found: list[Instrument]) -> list[str]:
    return [i.key for i in found]


def test_a_row_of_the_dump_is_read_as_it_stands(instruments: Instruments):
    line = "408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE"
    option = "11924738,46581,NIFTY26NOV24500CE,NIFTY,12.5,2026-11-23,24500.0,0.05,65,CE,NFO-OPT,NFO"
    read = Instruments.from_csv("\n".join([HEADER, line, option]))
    assert read.get("NSE:INFY") == Instrument(
        408065, "INFY", "NSE", 1594, "INFOSYS", 0.0, None, 0.0, 0.05, 1, "EQ", "NSE", "other"
    )
    assert read.get(11924738) == Instrument(
        instrument_token=11924738,
        tradingsymbol="NIFTY26NOV24500CE",
        exchange="NFO",
        exchange_token=46581,
        name="NIFTY",
        last_price=12.5,
        expiry=NOVEMBER,
        strike=24500.0,
        tick_size=0.05,
        lot_size=65,
        instrument_type="CE",
        segment="NFO-OPT",
        session_class="option",
    )
    assert len(instruments) == len(rows()) == len(list(instruments))
    assert repr(instruments) == f"Instruments({len(rows())})"


def test_an_instrument_is_found_by_token_or_key(instruments: Instruments):
    infy = instruments.get("NSE:INFY")
    token = infy.instrument_token
    for spelled in (token, np.uint32(token), np.int64(token), str(token), "NSE:INFY", " nse:infy "):
        assert instruments.get(spelled) is infy
        assert spelled in instruments
    assert instruments.find("NSE:NOTHING") is None
    assert instruments.find(1) is None
    assert None not in instruments
    with pytest.raises(TypeError):
        instruments.find(3.5)  # pyright: ignore


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("NSE:INFI", r"'NSE:INFI'; did you mean NSE:INFY"),
        ("NSE:RELIANSE", r"did you mean NSE:RELIANCE"),
        ("INFY", r"did you mean NSE:INFY, BSE:INFY"),
        ("NFO:NIFTY26NOV2324501CE", r"did you mean NFO:NIFTY26NOV2324500CE"),
        ("NSE:NIFTY50", r"did you mean NSE:NIFTY 50"),
        ("NSE:QQQQQQ", r"EXCHANGE:TRADINGSYMBOL, such as NSE:INFY"),
        ("", r"EXCHANGE:TRADINGSYMBOL"),
        (42, r"token was 42; it is not among"),
        ("9" * 5000, r"token was 9{57}\.\.\.; it is not among"),
        ("x" * 5000, r"'x{57}\.\.\.'; write it as"),
        ("42", r"token was 42; it is not among"),
    ],
)
def test_an_unknown_instrument_is_refused_with_the_nearest_ones(instruments: Instruments, asked: Any, hint: str):
    with pytest.raises(UnknownInstrument, match=hint):
        instruments.get(asked)
    with pytest.raises(KeyError):
        instruments.get(asked)


@pytest.mark.parametrize(
    ("key", "session_class"),
    [
        ("NSE:NIFTY 50", "index"),
        ("BSE:SENSEX", "index"),
        ("NSE:INFY", "cas"),
        ("BSE:INFY", "cas"),
        ("NSE:CDSL", "cas"),
        ("BSE:CDSL", "other"),  # kept out of the auction by its own exchange
        ("NSE:SMALLCO", "other"),
        ("NSE:NIFTYBEES", "other"),
        ("NFO:INFY26NOVFUT", "future"),
        ("NFO:NIFTY26NOV2324500CE", "option"),
        ("MCX:GOLD26DECFUT", "nonagri"),
        ("MCX:KAPAS26DECFUT", "agri_select"),
        ("MCX:MENTHAOIL26DECFUT", "agri_other"),
        ("CDS:USDINR26NOVFUT", "currency"),
    ],
)
def test_every_instrument_knows_whose_hours_it_follows(instruments: Instruments, key: str, session_class: str):
    assert instruments.get(key).session_class == session_class


def test_a_share_with_derivatives_stops_at_a_quarter_past_three(instruments: Instruments):
    late = ist_ns(NOVEMBER, "15:20")
    assert sessions.phase(instruments.get("NSE:INFY"), late).name == "CLOSING_AUCTION"
    assert sessions.phase(instruments.get("NSE:SMALLCO"), late).name == "LIVE"
    assert sessions.phase(instruments.get("NFO:INFY26NOVFUT"), late).name == "LIVE"


def test_instruments_made_elsewhere_get_their_classes_too(instruments: Instruments):
    bare = [replace(i, session_class="") for i in instruments]
    assert list(Instruments.from_instruments(bare)) == list(instruments)
    given = Instrument(257, "INFY", "NSE", session_class="other")
    assert Instruments.from_instruments([given]).get(257) is given


@pytest.mark.parametrize(
    ("query", "first"),
    [
        # the symbol itself, then what begins with it
        ("infy", ["NSE:INFY", "BSE:INFY", "NFO:INFY26NOVFUT", "NFO:INFY26DECFUT"]),
        ("INF", ["NSE:INFY", "NSE:INFIBEAM", "BSE:INFY"]),
        ("NSE:INFY", ["NSE:INFY"]),
        ("nse reliance", ["NSE:RELIANCE", "NSE:RELINFRA"]),
        ("m&m", ["NSE:M&M", "BSE:M&M"]),
        ("bajajauto", ["NSE:BAJAJ-AUTO"]),
        ("bajaj auto", ["NSE:BAJAJ-AUTO"]),
        # indices, also as the derivatives call them
        ("nifty", ["NSE:NIFTY 50", "NFO:NIFTY26NOVFUT"]),
        ("nifty 50", ["NSE:NIFTY 50"]),
        ("nifty 500", ["NSE:NIFTY 500"]),
        ("banknifty", ["NSE:NIFTY BANK", "NFO:BANKNIFTY26NOVFUT"]),
        ("bank nifty", ["NSE:NIFTY BANK"]),
        ("sensex", ["BSE:SENSEX"]),
        # by name
        ("infosys", ["NSE:INFY", "BSE:INFY"]),
        ("tata st", ["NSE:TATASTEEL"]),
        ("industries reliance", ["NSE:RELIANCE"]),
        ("motors", ["NSE:TATAMOTORS"]),
        # typing errors
        ("infosis", ["NSE:INFY"]),
        ("relianse", ["NSE:RELIANCE"]),
        ("eeliance", ["NSE:RELIANCE"]),
        ("tata stel", ["NSE:TATASTEEL"]),
        ("hdfc bnak", ["NSE:HDFCBANK"]),
        ("hdfcbnk", ["NSE:HDFCBANK"]),
        # words that narrow
        ("infy fut", ["NFO:INFY26NOVFUT", "NFO:INFY26DECFUT"]),
        ("infosys futures", ["NFO:INFY26NOVFUT", "NFO:INFY26DECFUT"]),
        ("infy dec fut", ["NFO:INFY26DECFUT"]),
        ("infy eq", ["NSE:INFY", "BSE:INFY"]),
        ("nifty 24500 ce", ["NFO:NIFTY26NOV2324500CE", "NFO:NIFTY26DEC0124500CE", "NFO:NIFTY26DEC2924500CE"]),
        ("nifty 24500", ["NFO:NIFTY26NOV2324500CE", "NFO:NIFTY26NOV2324500PE"]),
        ("nifty 24500pe dec", ["NFO:NIFTY26DEC0124500PE", "NFO:NIFTY26DEC2924500PE"]),
        ("nifty 29 dec 24500 put", ["NFO:NIFTY26DEC2924500PE"]),
        ("nifty 29dec26 24500 put", ["NFO:NIFTY26DEC2924500PE"]),
        ("nifty 2026-12-01 24500 call", ["NFO:NIFTY26DEC0124500CE"]),
        ("nifty 24 nov 24500 ce", ["NFO:NIFTY26NOV2324500CE"]),  # the 24th is a holiday: the month still counts
        ("bank nifty 52000 pe", ["NFO:BANKNIFTY26NOV2352000PE"]),
        ("nifty bank fut", ["NFO:BANKNIFTY26NOVFUT"]),
        ("mcx gold", ["MCX:GOLD26DECFUT", "MCX:GOLDM26DECFUT"]),
        ("gold mcx fut", ["MCX:GOLD26DECFUT"]),
        ("mcx", ["NSE:MCX", "BSE:MCX"]),  # the company's share
        ("NIFTY26NOV23245", ["NFO:NIFTY26NOV2324500CE", "NFO:NIFTY26NOV2324500PE"]),
        ("NFO:NIFTY26NOV2324500CE", ["NFO:NIFTY26NOV2324500CE"]),
    ],
)
def test_what_is_typed_finds_what_is_meant(instruments: Instruments, query: str, first: list[str]):
    assert keys(instruments.search(query))[: len(first)] == first


@pytest.mark.parametrize(
    ("query", "first", "note"),
    [
        ("nifty 24 nov 24500 ce", "NFO:NIFTY26NOV2324500CE", "no expiry on 24 Nov; nearest 23 Nov"),
        ("nifty 24500 ce 3 dec", "NFO:NIFTY26DEC0124500CE", "no expiry on 3 Dec; nearest 1 Dec"),
        ("nifty 24500 ce 25dec", "NFO:NIFTY26DEC2924500CE", "no expiry on 25 Dec; nearest 29 Dec"),
        ("nifty 24500 ce 29 dec", "NFO:NIFTY26DEC2924500CE", ""),
        ("nifty 24500 ce dec", "NFO:NIFTY26DEC0124500CE", ""),
        ("infy", "NSE:INFY", ""),
    ],
)
def test_a_day_on_which_nothing_expires_is_told_with_the_nearest_one(
    instruments: Instruments, query: str, first: str, note: str
):
    assert keys(instruments.search(query))[0] == first
    assert instruments.expiry_note(query) == note


def test_a_day_in_a_query_that_finds_nothing_needs_no_words(instruments: Instruments):
    for query in ("", "zqxwvk 12 nov", "nifty 12 mar", "12 nov"):
        assert instruments.expiry_note(query) == ""


def test_every_example_of_the_search_finds_something(instruments: Instruments):
    examples = instruments.search_examples(NOVEMBER)
    assert examples == ("nifty 24500 ce", "infy fut", "mcx gold dec")
    assert all(instruments.search(text) for text in examples)
    without = Instruments(one for one in instruments if one.exchange != "MCX")
    assert "mcx gold dec" not in without.search_examples(NOVEMBER)
    assert Instruments().search_examples(NOVEMBER) == ()


def test_a_narrow_query_finds_nothing_else(instruments: Instruments):
    assert all(i.strike == 24500 and i.instrument_type == "CE" for i in instruments.search("nifty 24500 ce", limit=99))
    assert {i.exchange for i in instruments.search("infy", exchange="bse")} == {"BSE"}
    assert {i.instrument_type for i in instruments.search("reliance fut", limit=99)} == {"FUT"}


def test_a_search_for_nothing_finds_nothing(instruments: Instruments):
    for query in ("", "   ", ":", "zqxwvk", "NSE:", "24500"):
        assert instruments.search(query) == []
    assert instruments.search("infy", limit=0) == []
    assert len(instruments.search("nifty", limit=3)) == 3
    assert Instruments().search("infy") == []


#: Words a query may be made of, sensible and not.
WORDS = ["nifty", "NSE:", "mcx", "24", "nov", "29feb", "2026-02-30", "ce", "fut", "9" * 400, "24500pe", "&", ":", "ſ"]


@settings(max_examples=150, deadline=None)
@given(
    query=st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), limit=st.integers(-1, 30)
)
def test_no_query_crashes_or_repeats_a_result(instruments: Instruments, query: str, limit: int):
    found = keys(instruments.search(query, limit=limit))
    assert len(found) == len(set(found)) <= max(limit, 0)


@pytest.mark.parametrize(
    ("query", "filters", "first"),
    [
        ("relaince", {"kind": "FUT"}, ["NFO:RELIANCE26NOVFUT", "NFO:RELIANCE26DECFUT"]),
        ("infosis", {"kind": "EQ"}, ["NSE:INFY"]),
        ("infosis", {"exchange": "BSE"}, ["BSE:INFY"]),
        ("nifty", {"kind": "INDEX"}, ["NSE:NIFTY 50"]),
        ("nifty", {"kind": "CE", "strike": 24500.0}, ["NFO:NIFTY26NOV2324500CE"]),
        ("nifty 24500", {"kind": "PE", "expiry": DECEMBER}, ["NFO:NIFTY26DEC2924500PE"]),
        ("nifty", {"expiry": NOVEMBER, "kind": "FUT"}, ["NFO:NIFTY26NOVFUT"]),
        ("nify", {"strike": 24500.0}, ["NFO:NIFTY26NOV2324500CE"]),
    ],
)
def test_filters_hold_whatever_was_typed(
    instruments: Instruments, query: str, filters: dict[str, Any], first: list[str]
):
    found = instruments.search(query, limit=99, **filters)
    assert keys(found)[: len(first)] == first
    assert all(fits(one, **filters) for one in found)


def fits(
    one: Instrument,
    exchange: str | None = None,
    kind: str | None = None,
    expiry: date | None = None,
    strike: float | None = None,
) -> bool:
    """What the filters promise, said another way."""
    given = "INDEX" if one.segment == "INDICES" else one.instrument_type
    is_option = one.instrument_type in ("CE", "PE")
    return (
        (not exchange or one.exchange == exchange)
        and (not kind or given == kind)
        and (not expiry or one.expiry == expiry)
        and (strike is None or (is_option and one.strike == strike))
    )


filters_asked = st.fixed_dictionaries(
    {},
    optional={
        "exchange": st.sampled_from(["NSE", "BSE", "NFO", "MCX"]),
        "kind": st.sampled_from(KINDS),
        "expiry": st.sampled_from([NOVEMBER, WEEKLY, DECEMBER, date(2030, 1, 1)]),
        "strike": st.sampled_from([24500.0, 26000.0, 0.0, 1.5]),
    },
)


@settings(max_examples=150, deadline=None)
@given(filters_asked.filter(bool), st.sampled_from(["", "  ", "nifty", "relaince", "infy ce", "24500 pe nifty"]))
def test_a_filtered_search_finds_only_what_fits_and_an_empty_one_everything(instruments: Instruments, filters, query):
    found = instruments.search(query, limit=10_000, **filters)
    assert all(fits(one, **filters) for one in found)
    if not query.strip():
        assert sorted(keys(found)) == sorted(one.key for one in instruments if fits(one, **filters))


def test_without_words_contracts_come_by_expiry_and_the_limit_holds(instruments: Instruments):
    found = instruments.search("", limit=99, kind="FUT", exchange="NFO")
    expiries = [one.expiry for one in found]
    assert found
    assert expiries == sorted(expiries, key=str)
    assert instruments.search("", limit=2, kind="FUT", exchange="NFO") == found[:2]
    options = instruments.search("", limit=99, kind="CE", expiry=NOVEMBER)
    assert [one.strike for one in options] == sorted(one.strike for one in options)


@pytest.mark.parametrize("query", ["24500 ce nifty", "ce 24500 nifty", "ce nifty 24500"])
def test_strike_and_kind_may_come_before_the_name(instruments: Instruments, query: str):
    assert keys(instruments.search(query))[0] == "NFO:NIFTY26NOV2324500CE"


def test_a_symbol_one_letter_longer_is_nearer_than_a_name_that_begins_so(instruments: Instruments):
    shares = [
        Instrument(1 << 8 | 1, "SBICARD", "NSE", name="SBI CARDS & PAY SER"),
        Instrument(2 << 8 | 1, "SBILIFE", "NSE", name="SBI LIFE INSURANCE"),
        Instrument(3 << 8 | 1, "SBIN", "NSE", name="STATE BANK OF INDIA"),
    ]
    assert keys(Instruments.from_instruments(shares).search("sbi"))[0] == "NSE:SBIN"


def test_expiries_rise_and_chains_are_complete(instruments: Instruments):
    assert instruments.expiries("nifty") == [NOVEMBER, WEEKLY, DECEMBER]
    assert instruments.expiries("NFO:INFY") == instruments.expiries("INFY", "NFO") == [NOVEMBER, DECEMBER]
    chain = instruments.chain("NIFTY", NOVEMBER)
    assert (chain.name, chain.exchange, chain.expiry) == ("NIFTY", "NFO", NOVEMBER)
    assert [row.strike for row in chain.rows] == [24300, 24400, 24500, 24600, 24700]
    middle = chain.rows[2]
    assert middle.call is instruments.get("NFO:NIFTY26NOV2324500CE")
    assert middle.put is instruments.get("NFO:NIFTY26NOV2324500PE")
    assert chain.future is instruments.get("NFO:NIFTY26NOVFUT")
    assert instruments.chain("NIFTY", WEEKLY).future is None
    assert instruments.chain("GOLD", date(2026, 12, 4)).rows == ()


def test_a_strike_listed_on_one_side_only_has_a_hole(instruments: Instruments):
    without = [i for i in instruments if i.key != "NFO:NIFTY26NOV2324500PE"]
    row = Instruments(without).chain("NIFTY", NOVEMBER).rows[2]
    assert (row.strike, row.put) == (24500, None)
    assert row.call is not None


def test_unknown_underlyings_and_expiries_are_refused(instruments: Instruments):
    with pytest.raises(UnknownInstrument, match=r"'NIFFTY'; did you mean NIFTY"):
        instruments.expiries("NIFFTY")
    with pytest.raises(UnknownInstrument, match="14 names have derivatives"):
        instruments.expiries("QQQQ")
    with pytest.raises(UnknownInstrument, match=r"2026-11-24; there are: 2026-11-23, 2026-12-01"):
        instruments.chain("NIFTY", date(2026, 11, 24))
    assert "GOLD" in instruments.names("MCX")
    assert instruments.names("NFO") == sorted(["NIFTY", "BANKNIFTY", *WITH_DERIVATIVES])


def test_a_contract_knows_what_it_is_derived_from(instruments: Instruments):
    for contract, share in [("INFY26NOVFUT", "NSE:INFY"), ("NIFTY26NOV2324500CE", "NSE:NIFTY 50")]:
        assert instruments.underlying(instruments.get(f"NFO:{contract}")) is instruments.get(share)
    assert instruments.underlying(instruments.get("NSE:INFY")) is None
    assert instruments.underlying(instruments.get("MCX:GOLD26DECFUT")) is None


@pytest.mark.parametrize(
    "bad",
    [
        "a,b,c",
        "x,1,AAA,A,0,,0,0.05,1,EQ,NSE,NSE",  # no token
        "0,1,AAA,A,0,,0,0.05,1,EQ,NSE,NSE",
        "-5,1,AAA,A,0,,0,0.05,1,EQ,NSE,NSE",
        "99999999999,1,AAA,A,0,,0,0.05,1,EQ,NSE,NSE",
        "513,1,,A,0,,0,0.05,1,EQ,NSE,NSE",
        "513,1,AAA,A,zero,,0,0.05,1,EQ,NSE,NSE",
        "513,1,AAA,A,0,someday,0,0.05,1,EQ,NSE,NSE",
        "513,1,AAA,A,0,,0,0.05,inf,EQ,NSE,NSE",
        '513,1,AAA,"A LOST QUOTE,0,,0,0.05,1,EQ,NSE,NSE',
        "257,1,TWICE,TWICE,0,,0,0.05,1,EQ,NSE,NSE",
    ],
)
def test_a_bad_row_is_counted_and_costs_nothing_else(bad: str):
    good = ["257,1,FIRST,FIRST,0,,0,0.05,1,EQ,NSE,NSE", '769,3,LAST,"LAST, LIMITED",0,,0,0.05,1,EQ,NSE,NSE']
    read = Instruments.from_csv("\r\n".join([HEADER, good[0], bad, "", good[1]]))
    assert keys(list(read)) == ["NSE:FIRST", "NSE:LAST"]
    assert read.refused == 1
    assert read.get("NSE:LAST").name == "LAST, LIMITED"


def test_columns_may_come_in_another_order_and_with_company():
    names = [*reversed(HEADER.split(",")), "isin"]
    row = ["257", "1", "INFY", "INFOSYS", "0", "", "0", "0.05", "1", "EQ", "NSE", "NSE"]
    values = dict(zip(HEADER.split(","), row, strict=True))
    read = Instruments.from_csv(",".join(names) + "\n" + ",".join(values.get(n, "INE009A01021") for n in names))
    assert read.get("NSE:INFY").name == "INFOSYS"


@pytest.mark.parametrize(
    "answer", ["", "<html><body>502 Bad Gateway</body></html>", '{"status":"error"}', b"\xff\xfe\x00"]
)
def test_an_answer_that_is_no_dump_is_refused(answer: str | bytes):
    with pytest.raises(BadAnswer, match="lacks the columns"):
        Instruments.from_csv(answer)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60), max_size=8))
def test_no_garbage_row_stops_the_dump(lines: list[str]):
    good = "257,1,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE"
    assert "NSE:INFY" in Instruments.from_csv("\n".join([HEADER, *lines, good]).encode())
