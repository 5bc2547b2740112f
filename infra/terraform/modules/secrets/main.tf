# Places for secrets. Their values are set by hand (docs/deploy.md): what Terraform sets is readable in its state.

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV_AWS_149:encrypted by AWS's own key; who may read is said by the roles
  #checkov:skip=CKV2_AWS_57:keys of a model and of a GitHub App are not ours to rotate by a function; docs/deploy.md says how by hand
  for_each = var.secrets

  name        = "${var.name}/${each.key}"
  description = each.value
}
