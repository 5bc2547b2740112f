# One person: Soulcaster runs on your own machine, the agent on Fargate. Tasks have public addresses, nothing comes in, no NAT
# gateway is paid for. Without a single fix a secret and a few log groups cost about one USD a month.

module "soulcaster" {
  source = "../.."

  github_repository = var.github_repository
  agent_image       = var.agent_image
  mail              = var.mail
  budget_usd        = 25
  has_nat           = false
}
