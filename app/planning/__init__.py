"""From what is known of a site to a plan of it that is sent: made, kept, explained, and made again."""
