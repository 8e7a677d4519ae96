//! l402: like curl, but pays
