"""Say who is at the screen: tiles, badge, PIN."""
