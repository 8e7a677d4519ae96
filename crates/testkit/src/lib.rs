//! Test hardware: virtual clock, seeded entropy, scenarios, vector loader (unpublished)
