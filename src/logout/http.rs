//! What fetches a provider's documents.
