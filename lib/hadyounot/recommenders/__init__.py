"""Where ``peers`` was before ``hadyounot.retrain``: factories that studies name."""
