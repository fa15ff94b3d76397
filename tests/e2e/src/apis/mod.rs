//! Servers that answer as the APIs of sources do.

pub mod facebook;
pub mod github;
pub mod google_ads;
pub mod open_exchange_rates;
pub mod shop;
pub mod tiktok;
