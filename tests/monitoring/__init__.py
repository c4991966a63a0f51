"""What operators watch the agent by: metrics, log lines, alerts, the dashboard, and the pages about them."""
