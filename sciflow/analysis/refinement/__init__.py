"""Where to look more closely: spaces to add to a sweep, around its best variant or where a metric changes most."""
