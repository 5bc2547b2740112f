# A team: Soulcaster on a machine of its own with sign-in and TLS, the agent in private subnets whose names are a list.
# Without a single fix the machine, the NAT gateway, disk and addresses cost somewhat over 100 USD a month: look the prices up.

module "soulcaster" {
  source = "../.."

  github_repository = var.github_repository
  agent_image       = var.agent_image
  mail              = var.mail
  budget_usd        = 300
  has_nat           = true
  gateway_mode      = var.gateway_mode
  allowed_domains   = var.allowed_domains
  host              = { ingress_cidrs = var.ingress_cidrs }
}
