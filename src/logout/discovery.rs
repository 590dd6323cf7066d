//! The discovery document of a provider.
