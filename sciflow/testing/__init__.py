"""For tests of what uses or extends sciflow: contracts, strategies, faults; the library never imports it."""
