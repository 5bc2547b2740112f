# GitHub Actions without keys: one branch of one repository may push images, one environment of it may make plans.

locals {
  # An account has one provider of that address: it may stand already.
  provider_url = "https://token.actions.githubusercontent.com"
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.creates_provider ? 1 : 0

  url            = local.provider_url
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "push" {
  name               = "${var.name}-ci-push"
  description        = "GitHub Actions push images by it"
  assume_role_policy = var.push_trust
  depends_on         = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy" "push" {
  name   = "push-images"
  role   = aws_iam_role.push.id
  policy = var.push_policy
}

resource "aws_iam_role" "plan" {
  name               = "${var.name}-ci-plan"
  description        = "GitHub Actions make plans by it: reads everything but contents"
  assume_role_policy = var.plan_trust
  depends_on         = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.plan.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "plan" {
  name   = "no-contents"
  role   = aws_iam_role.plan.id
  policy = var.plan_policy
}
