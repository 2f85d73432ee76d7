"""For tests of code that uses or extends sciflow: contracts, strategies, fault injection; the library never imports it."""
