# Names that may be resolved in this network, when any are listed. It does not stop who knows an address by number, nor a bucket
# of somebody else: that is a name of AWS, too.

locals {
  # What tasks need of AWS itself, whatever else is listed.
  aws_domains   = ["*.amazonaws.com."]
  has_allowlist = length(var.allowed_domains) > 0
}

resource "aws_route53_resolver_firewall_domain_list" "allowed" {
  count = local.has_allowlist ? 1 : 0

  name    = "${var.name}-allowed"
  domains = concat(local.aws_domains, [for domain in var.allowed_domains : "${trimsuffix(domain, ".")}."])
}

resource "aws_route53_resolver_firewall_domain_list" "all" {
  count = local.has_allowlist ? 1 : 0

  name    = "${var.name}-all"
  domains = ["*."]
}

resource "aws_route53_resolver_firewall_rule_group" "this" {
  count = local.has_allowlist ? 1 : 0

  name = var.name
}

resource "aws_route53_resolver_firewall_rule" "allow" {
  count = local.has_allowlist ? 1 : 0

  name                               = "${var.name}-allow"
  action                             = "ALLOW"
  priority                           = 100
  firewall_domain_list_id            = aws_route53_resolver_firewall_domain_list.allowed[0].id
  firewall_domain_redirection_action = "TRUST_REDIRECTION_DOMAIN"
  firewall_rule_group_id             = aws_route53_resolver_firewall_rule_group.this[0].id
}

resource "aws_route53_resolver_firewall_rule" "block" {
  count = local.has_allowlist ? 1 : 0

  name                    = "${var.name}-block"
  action                  = "BLOCK"
  block_response          = "NXDOMAIN"
  priority                = 200
  firewall_domain_list_id = aws_route53_resolver_firewall_domain_list.all[0].id
  firewall_rule_group_id  = aws_route53_resolver_firewall_rule_group.this[0].id
}

resource "aws_route53_resolver_firewall_rule_group_association" "this" {
  count = local.has_allowlist ? 1 : 0

  name                   = var.name
  firewall_rule_group_id = aws_route53_resolver_firewall_rule_group.this[0].id
  priority               = 101
  vpc_id                 = aws_vpc.this.id
}
