//! Where a provider's keys come from: given, or fetched and cached.
