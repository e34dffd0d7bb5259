"""Why a step needs the memory it needs, and what would bring it down."""
