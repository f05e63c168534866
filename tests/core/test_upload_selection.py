"""Grants under a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core import rng
from flq.core.settings import GRANT_ORDERS, Rules
from flq.core.upload_selection import Offer, grant

RULES = Rules("bbit", 4, 4, "residual", max_silence=3)
CHANCE = rng.stream(42, rng.GRANTS, 1)


def rules(sel_clients=0, up_budget_bits=0, grant_by="energy"):
    return RULES._replace(sel_clients=sel_clients, up_budget_bits=up_budget_bits, grant_by=grant_by)


OFFERS = [Offer(0, 10.0, 10), Offer(1, 30.0, 10), Offer(2, 20.0, 10), Offer(3, 40.0, 10)]


@pytest.mark.parametrize(
    "limits, granted",
    [
        (rules(sel_clients=1), [3]),
        (rules(sel_clients=3), [1, 2, 3]),
        (rules(sel_clients=9), [0, 1, 2, 3]),
        (rules(up_budget_bits=29), [1, 3]),
        (rules(up_budget_bits=30), [1, 2, 3]),
        (rules(up_budget_bits=9), []),
        (rules(sel_clients=1, up_budget_bits=30), [3]),
        (rules(sel_clients=3, up_budget_bits=20), [1, 3]),
        (rules(), [0, 1, 2, 3]),
    ],
)
def test_most_energy_first_within_both_limits(limits, granted):
    assert grant(OFFERS, {}, limits, CHANCE) == granted


def test_it_is_energy_per_bit_that_counts():
    offers = [Offer(0, 100.0, 100), Offer(1, 30.0, 10)]
    assert grant(offers, {}, rules(sel_clients=1), CHANCE) == [1]


def test_ties_go_to_the_lower_id_in_any_order_of_arrival():
    offers = [Offer(2, 5.0, 10), Offer(0, 5.0, 10), Offer(1, 10.0, 20)]
    assert grant(offers, {}, rules(sel_clients=1), CHANCE) == [0]
    assert grant(offers[::-1], {}, rules(sel_clients=2), CHANCE) == [0, 1]


def test_an_offer_that_does_not_fit_is_left_out_and_the_next_tried():
    offers = [Offer(0, 90.0, 30), Offer(1, 160.0, 80), Offer(2, 60.0, 60), Offer(3, 5.0, 10)]
    assert grant(offers, {}, rules(up_budget_bits=100), CHANCE) == [0, 2, 3]  # 30, not 80, 60, 10


def test_workers_refused_c_rounds_in_a_row_come_first_and_the_longest_before_all():
    assert grant(OFFERS, {0: 2}, rules(sel_clients=1), CHANCE) == [3]
    assert grant(OFFERS, {0: 3}, rules(sel_clients=1), CHANCE) == [0]
    assert grant(OFFERS, {0: 3, 2: 4}, rules(sel_clients=1), CHANCE) == [2]
    assert grant(OFFERS, {0: 3, 2: 3}, rules(sel_clients=1), CHANCE) == [2]  # alike: the energy decides


def rounds_of(grant_by, n_rounds=20, n_granted=2):
    """Return the granted workers of each round, with constant offers."""
    passed_over, granted = {}, []
    for k in range(n_rounds):
        limits = rules(sel_clients=n_granted, grant_by=grant_by)._replace(max_silence=100)
        granted.append(grant(OFFERS, passed_over, limits, rng.stream(42, rng.GRANTS, k)))
        passed_over = {i: 0 if i in granted[-1] else passed_over.get(i, 0) + 1 for i in range(4)}
    return granted


def test_by_age_everybody_has_a_turn():
    assert rounds_of("energy")[:3] == [[1, 3]] * 3
    assert rounds_of("age")[:4] == [[1, 3], [0, 2], [1, 3], [0, 2]]


def test_a_worker_that_is_not_listed_was_not_refused():
    assert grant(OFFERS, {0: 0}, rules(sel_clients=1, grant_by="age"), CHANCE) == [3]


def test_by_both_the_energetic_come_more_often_and_the_others_come_too():
    turns = [sum(i in granted for granted in rounds_of("both", 200)) for i in range(4)]
    assert 40 < turns[0] < turns[2] <= turns[1] < turns[3]


def test_chance_is_a_function_of_seed_and_round_and_favours_no_worker():
    assert rounds_of("random", 200) == rounds_of("random", 200)
    turns = [sum(i in granted for granted in rounds_of("random", 200)) for i in range(4)]
    assert min(turns) > 75


@pytest.mark.parametrize("grant_by", GRANT_ORDERS)
def test_in_every_order_long_refused_workers_come_first_and_limits_hold(grant_by):
    assert grant(OFFERS, {0: 3}, rules(sel_clients=1, grant_by=grant_by), CHANCE) == [0]
    assert len(grant(OFFERS, {}, rules(up_budget_bits=29, grant_by=grant_by), CHANCE)) == 2


def test_a_long_refused_worker_still_has_to_fit():
    offers = [Offer(0, 1.0, 100), Offer(1, 1.0, 10)]
    assert grant(offers, {0: 3}, rules(up_budget_bits=50), CHANCE) == [1]


def test_without_offers_there_are_no_grants():
    assert grant([], {}, rules(sel_clients=2), CHANCE) == []


def test_an_offer_of_no_bits_is_granted():
    assert grant([Offer(0, 0.0, 0)], {}, rules(up_budget_bits=1), CHANCE) == [0]


@given(
    numbers=st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 100)), max_size=12),
    waited=st.dictionaries(st.integers(0, 11), st.integers(0, 6)),
    sel_clients=st.integers(0, 5),
    up_budget_bits=st.integers(0, 300),
)
def test_limits_are_never_exceeded_and_nothing_that_fits_is_left(numbers, waited, sel_clients, up_budget_bits):
    offers = [Offer(i, energy, cost) for i, (energy, cost) in enumerate(numbers)]
    granted = grant(offers, waited, rules(sel_clients, up_budget_bits), CHANCE)
    spent = sum(offers[i].cost_bits for i in granted)
    assert granted == sorted(set(granted)) and set(granted) <= set(range(len(offers)))
    assert not sel_clients or len(granted) <= sel_clients
    assert not up_budget_bits or spent <= up_budget_bits
    full = sel_clients and len(granted) == sel_clients
    assert full or all(
        up_budget_bits and spent + offer.cost_bits > up_budget_bits
        for offer in offers
        if offer.worker_id not in granted
    )


def test_after_c_rounds_turns_are_taken():
    passed_over, turns = {}, []
    for _ in range(11):
        granted = grant(OFFERS, passed_over, rules(sel_clients=1), CHANCE)
        passed_over = {i: 0 if i in granted else passed_over.get(i, 0) + 1 for i in range(4)}
        turns += granted
    # C = 3: worker 3 wins until the others have waited three rounds; then all come in turn.
    assert turns == [3, 3, 3, 1, 2, 0, 3, 1, 2, 0, 3]


# -- energies are claims ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "energies, first",
    [([1.0, 9.0, 2.0], 1), ([1.0, 1.7e308, 2.0], 1), ([0.0, 0.0, 5.0], 0), ([1.7e308, 1.7e308, 1.0], 0)],
)
def test_an_energy_counts_for_ten_times_the_median_at_most(energies, first):
    offers = [Offer(worker_id, energy, 10) for worker_id, energy in enumerate(energies)]
    assert grant(offers, {}, rules(sel_clients=1), CHANCE) == [first]
    with_larger = [offer._replace(energy=1e300 if offer.energy >= 1e300 else offer.energy) for offer in offers]
    assert grant(with_larger, {}, rules(sel_clients=2), CHANCE) == grant(offers, {}, rules(sel_clients=2), CHANCE)


@pytest.mark.parametrize("order", ["energy", "age", "both"])
@pytest.mark.parametrize("energies", [(0.0, 0.0, 5.0, 6.0), (5e-324, 5e-324, 5.0, 6.0), (1.0, 1.0, 1.0, 1.0)])
def test_workers_whose_energies_count_the_same_take_turns(energies, order):
    offers = [Offer(worker_id, energy, 1000) for worker_id, energy in enumerate(energies)]
    limits = rules(sel_clients=1, grant_by=order)._replace(max_silence=100)
    passed_over, turns = {}, []
    for _ in range(8):
        granted = grant(offers, passed_over, limits, CHANCE)
        passed_over = {i: 0 if i in granted else passed_over.get(i, 0) + 1 for i in range(4)}
        turns += granted
    assert turns == [0, 1, 2, 3, 0, 1, 2, 3]


def test_an_absurd_energy_does_not_pay_for_more_bits():
    offers = [Offer(0, 1.7e308, 100), Offer(1, 30.0, 10), Offer(2, 20.0, 10)]  # the median is 30: 300 / 100 per bit
    assert grant(offers, {}, rules(sel_clients=1), CHANCE) == [0]
    assert grant([offers[0]._replace(cost_bits=101)] + offers[1:], {}, rules(sel_clients=1), CHANCE) == [1]


@pytest.mark.parametrize("order", GRANT_ORDERS)
def test_workers_that_left_a_grant_unused_come_last(order):
    limits = rules(sel_clients=2, grant_by=order)
    assert set(grant(OFFERS, {1: 2, 3: 9}, limits, CHANCE, last={1, 3})) == {0, 2}
    assert len(set(grant(OFFERS, {}, limits, CHANCE, last={0, 1, 3})) & {2}) == 1
