"""PowerGym: members, their subscriptions, and recognition of their faces by pgvector."""
